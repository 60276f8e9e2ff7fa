"""Extensions are found by their entry points, of the harness as of anybody, and loaded by name."""

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.backends import BACKENDS
from harness.cli.application import app
from harness.data.registry import DATASETS
from harness.engines import ENGINES
from harness.errors import SubmissionError, UsageError
from harness.plugins import Registry, instance_of
from harness.quality.metrics import METRICS
from harness.submissions.loaders import LOADERS
from harness.tracks import TRACKS

POINTS = [
    EntryPoint("pi", "math:pi", "numbers"),
    EntryPoint("path", "os:sep", "numbers"),
    EntryPoint("absent", "no_such_module:thing", "numbers"),
    EntryPoint("lost", "math:no_such_thing", "numbers"),
]


def registry(points: Sequence[EntryPoint] = POINTS, **changes: object) -> Registry[float]:
    return Registry("numbers", "number", instance_of(float), find=lambda _: points, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "names"),
    [
        (TRACKS, ["ais2024-x4", "mai2021-x3", "mai2022-x3", "ntire23-x2", "ntire23-x3", "ntire23-x4"]),
        (BACKENDS, ["channels_last", "compile", "cuda-graph", "eager", "onnxruntime", "tensorrt"]),
        (LOADERS, ["onnx", "spandrel", "torch_export"]),
        (ENGINES, ["inline", "local"]),
        (DATASETS, ["embedded"]),
        (METRICS, ["lpips"]),
    ],
    ids=lambda value: value.group if isinstance(value, Registry) else "",
)
def test_what_comes_with_the_harness_is_declared_as_entry_points_and_loads(
    known: Registry[object], names: list[str]
) -> None:
    assert set(names) <= set(known.names())
    assert not {name: fault for name, fault in known.faults().items() if name in names}


def test_an_extension_is_loaded_by_its_name() -> None:
    assert registry().names() == ["absent", "lost", "path", "pi"]
    assert registry().get("pi") == pytest.approx(3.14159, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("path", r"cannot be loaded \(TypeError: it is a str, not a float\)"),
        ("absent", r"number 'absent' of unknown cannot be loaded \(ModuleNotFoundError: .*no_such_module"),
        ("lost", r"AttributeError: .*no_such_thing"),
    ],
)
def test_one_that_does_not_load_is_named_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        registry().get(name)
    assert set(registry().faults()) == {"absent", "lost", "path"}


def test_an_unknown_name_lists_what_there_is_and_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no number is called 'abent'.*mean 'absent'\? choose one of: absent, lost"):
        registry().get("abent")
    with pytest.raises(SubmissionError, match="Choose one of: absent, lost, path, pi"):
        registry(error=SubmissionError).get("zzz")
    assert "did you mean 'mine'? choose one of: absent, lost, mine" in registry().advice("min", ["mine"])


def test_a_name_that_two_packages_declare_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        info = tmp_path / f"zz_maths{number}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zz-maths{number}\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[harness.numbers]\npi = math:pi\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="is declared by zz-maths1 1 and zz-maths2 1"):
        Registry("harness.numbers", "number", instance_of(float)).get("pi")


def test_without_an_installation_the_error_says_to_install() -> None:
    with pytest.raises(UsageError, match=r"(?i)no entry point of the group numbers is installed.*pip install -e \."):
        registry([]).get("pi")


def test_the_controller_loads_no_loader() -> None:
    """A package of loaders may hold submissions too, whose code runs in workers only."""
    code = (
        "import sys; from pathlib import Path; from harness.submissions.loaders import LOADERS, loader_for\n"
        "assert loader_for(Path('a.onnx')) == 'onnx' and LOADERS.names()\n"
        "print([name for name in sys.modules if name == 'torch' or name.startswith('harness.worker')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_says_of_each_whether_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "zz_broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[harness.backends]\nodd = math:pi\n[harness.loaders]\ngone = zz_gone:load\n[harness.suffixes]\n.zz = nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    broken = CliRunner().invoke(app, ["plugins"])
    assert broken.exit_code == 1
    for reason in ("it is a float, not a Backend", "No module named 'zz_gone'", "no loader is called 'nothing'"):
        assert reason in broken.output
    assert broken.output.count("loads") >= 20
    assert broken.output.count("fails") == 3
