"""Fixtures that every test may use, and the rule that nothing is skipped where everything must run."""

import os
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILES = (
    "tests/isolation/test_zoo_run.py",
    # What follows runs beside the zoo, which keeps both processors busy: no times are compared.
    "tests/worker/test_zoo_loading.py",
    "tests/models/test_public_checkpoints.py",
    "tests/report/test_report_in_browser.py",
    "tests/isolation/test_session.py",
    "tests/backends/test_backends_in_runs.py",
    "tests/run/test_strangers.py",
    "tests/timing/test_cheats.py",
    "tests/run/test_killed.py",
    "tests/run/test_workers.py",
    "tests/run/test_pipeline.py",
    "tests/run/test_checking.py",
)
"""Test files that take a minute or more, in the order in which they begin."""


@pytest.fixture(scope="session", autouse=True)
def _one_thread_each() -> None:
    """Use one thread of torch in each of pytest-xdist's processes, which else wait for each other's threads."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the project's checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real images, checkpoints and published tables beside the checkout."""
    folder = Path(os.environ.get("HARNESS_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"real images, checkpoints and tables are not at {folder}")
    return folder


@pytest.fixture(autouse=True)
def _unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers run on any core: else all would be bound to one, also those of tests that run side by side."""
    monkeypatch.setattr("harness.isolation.launcher.bound_cores", lambda _threads: [])


@pytest.fixture
def make_wheel(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a wheel with one module, which holds its version, and returns the folder."""

    def make(name: str, version: str, requires: tuple[str, ...] = ()) -> Path:
        folder = tmp_path / "wheels"
        folder.mkdir(exist_ok=True)
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files = {
            f"{name}.py": f'VERSION = "{version}"\n',
            f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {line}\n" for line in requires),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
            for file, text in {**files, f"{info}/RECORD": record}.items():
                archive.writestr(file, text)
        return folder

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, so that no process waits for another one at the end."""
    order = {name: number for number, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: order.get(item.path.relative_to(ROOT).as_posix(), len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a skipped test fail where CI is set, unless it needs an accelerator."""
    report = yield
    expected = hasattr(report, "wasxfail") or item.get_closest_marker("gpu") is not None
    if report.skipped and os.environ.get("CI") and not expected:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
