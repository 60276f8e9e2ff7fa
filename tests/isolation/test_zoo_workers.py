"""The zoo's behaviours that need a process of their own, each in a worker; honest networks between them.

What ends while it is found or loaded is in ``tests/submissions``. With ``-m slow`` all of them run in a sandbox.
"""

import contextlib
import importlib.util
import re
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import psutil
import pytest

from harness.errors import WorkerError
from harness.isolation.limits import Limits
from harness.isolation.opening import open_session
from harness.isolation.sandbox import bwrap_problem
from harness.submissions.discovery import Submission, discover

LIMITS = Limits(memory_bytes=3 << 30, file_bytes=64 << 20, tmp_bytes=64 << 20)
FRAME = np.random.default_rng(2).integers(0, 256, (24, 32, 3), dtype=np.uint8)
HANG_S, PATIENCE_S = 8.0, 90.0


def _build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("zoo_to_build", Path(__file__).parent.parent / "zoo" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BUILD = _build()
# Those that cheat the clock are found out by what the timing compares (tests/timing/test_cheats.py runs them), and
# those of another scale are never opened: neither is for a worker to find.
EXPECTED = {
    name: row
    for name, row in BUILD.expectations().items()
    if row["status"] != "disqualified" and row.get("stage") != "plan"
}
HONEST = ["honest_bicubic", "honest_nearest", "honest_trained"]
IN_PROCESS = sorted(n for n, e in EXPECTED.items() if {"type", "process"} & e.keys() and not e.get("sandbox"))
IN_SANDBOX = sorted(n for n, e in EXPECTED.items() if e.get("sandbox"))
EVERYWHERE = ["fork_bomb", "thread_leak", "memory_bomb", "forges_frames", "segfault"]  # in both ways

needs_bwrap = pytest.mark.skipif(bwrap_problem() is not None, reason=f"no sandbox: {bwrap_problem()}")


@dataclass(frozen=True)
class Row:
    """What became of a submission."""

    status: str
    stage: str | None = None
    kind: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()
    image: np.ndarray | None = None


def run(path: Path, expected: dict, sandbox: str, cache: Path) -> Row:
    """Take one submission from load to an upscaled frame."""
    (submission,) = discover([path], entry_points=False, cache_dir=cache)
    if not isinstance(submission, Submission):
        return Row("failed", "discover", message=str(submission.error))
    timeout_s = HANG_S if expected.get("type") == "Timeout" else PATIENCE_S
    options = {"timeout_s": timeout_s, "sandbox": sandbox, "limits": LIMITS, "scale": 2}
    try:
        with open_session(submission, **options) as session:
            loaded = session.load()
            session.time([FRAME], 1, 2, 1, None)
            image = session.upscale(FRAME)
    except WorkerError as error:
        status = "unsupported" if error.kind == "UnsupportedError" else "failed"
        return Row(status, error.stage, error.kind, str(error))
    if not loaded.weights:
        return Row("unsupported", "load", message="no weights for x2")
    return Row("ok", notes=tuple(loaded.notes), image=image)


class Zoo:
    """Runs behaviours two at a time, ahead of the tests that ask for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cases = {case.folder: case for case in BUILD.build_zoo(folder / "submissions")}
        self.pool = ThreadPoolExecutor(2)
        self.rows: dict[tuple[str, str], Future[Row]] = {}

    def begin(self, names: list[str], sandbox: str) -> None:
        for name in names:
            work = (run, self.cases[name].path, EXPECTED[name], sandbox, self.folder / "cache")
            self.rows.setdefault((name, sandbox), self.pool.submit(*work))

    def row(self, name: str, sandbox: str) -> Row:
        return self.rows[name, sandbox].result()


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    built = Zoo(tmp_path_factory.mktemp("zoo"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("private")))  # apart from other runs here
        yield built
        built.pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def in_process(zoo):
    zoo.begin([*HONEST, *IN_PROCESS], "process")
    return zoo


@pytest.fixture(scope="module")
def in_sandbox(zoo):
    zoo.begin([*IN_SANDBOX, *EVERYWHERE, *HONEST], "bwrap")
    return zoo


def assert_as_expected(row: Row, expected: dict) -> None:
    assert row.status == expected["status"], row
    for key, given in (("stage", row.stage), ("type", row.kind)):
        assert expected.get(key) in (None, given), row
    assert re.search(expected.get("match", ""), row.message), row
    if "note" in expected:
        assert any(re.search(expected["note"], note) for note in row.notes), row


@pytest.mark.parametrize("name", IN_PROCESS)
def test_in_a_plain_process(in_process, name):
    assert_as_expected(in_process.row(name, "process"), EXPECTED[name])


@needs_bwrap
@pytest.mark.parametrize("name", [*IN_SANDBOX, *EVERYWHERE])
def test_in_a_sandbox(in_sandbox, name):
    assert_as_expected(in_sandbox.row(name, "bwrap"), EXPECTED[name])


@needs_bwrap
@pytest.mark.parametrize("name", HONEST)
def test_honest_networks_give_the_same_in_both(in_process, in_sandbox, name):
    rows = [in_process.row(name, "process"), in_sandbox.row(name, "bwrap")]
    for row in rows:
        assert row.status == "ok", row
    np.testing.assert_array_equal(rows[0].image, rows[1].image)


def left_behind() -> list[str]:
    """Return the workers that still run and the private folders that are still there."""
    left = [str(folder) for folder in Path(tempfile.gettempdir()).glob("sr-harness-*")]
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended while it was looked at
            command = " ".join(process.cmdline())
            left += [command] if "harness.isolation.worker" in command else []
    return left


def test_nothing_is_left_running_and_no_temporary_folder_behind(in_process):
    for outcome in in_process.rows.values():
        outcome.result()
    patience = time.monotonic() + 20  # on a busy machine the kernel takes a while to bury the killed
    while left_behind() and time.monotonic() < patience:
        time.sleep(0.2)
    assert left_behind() == []


@pytest.mark.slow
@needs_bwrap
@pytest.mark.timeout(1800)
def test_the_whole_zoo_in_a_sandbox_with_honest_networks_between(zoo):
    others = [name for name in sorted(EXPECTED) if name not in HONEST]
    thirds = [others[start::3] for start in range(3)]
    zoo.begin([name for third, honest in zip(thirds, HONEST, strict=True) for name in (*third, honest)], "bwrap")
    wrong = {}
    for name, expected in EXPECTED.items():
        try:
            assert_as_expected(zoo.row(name, "bwrap"), expected)
        except AssertionError as error:
            wrong[name] = str(error)
    assert not wrong
