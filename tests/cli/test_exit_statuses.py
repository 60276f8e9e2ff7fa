"""What the caller can mend ends a command with 2, what is damaged in a run's own files with 3."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run, damaged copies of it, and files that are no input of any command."""
    root = tmp_path_factory.mktemp("places")
    shutil.copytree(ROOT / "reports" / "sample", root / "run")
    for name in ("broken", "cut"):
        (root / name).mkdir()
        shutil.copy(root / "run" / "results.json", root / name)
    (root / "broken" / "results.json").write_text("{")
    (root / "cut" / "per_image.csv").write_text((root / "run" / "per_image.csv").read_text()[:500])
    for name in ("empty", "corrupt"):
        (root / name).mkdir()
    for name in ("file", "corrupt/a.png", "broken.zip", "weights.pth"):
        (root / name).write_bytes(b"not what its name says")
    (root / "unmounted").symlink_to(root / "gone")
    return root


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("quality empty empty", 2, "neither folder contains an image"),
        ("prepare empty out", 2, "holds no images"),
        ("prepare corrupt file", 2, "is a file, where a folder is needed"),
        ("datasets add mine empty", 2, "no images"),
        ("run SUBMISSION --dataset empty", 2, "no images"),
        ("run SUBMISSION --dataset corrupt", 2, "a.png: not a readable image"),
        ("run SUBMISSION --out file", 2, "is a file, where a folder is needed"),
        ("run SUBMISSION --out unmounted/run", 2, "is a broken link to"),
        ("run SUBMISSION --out file/run", 2, "is a file, where a folder is needed"),
        ("codabench run broken.zip SUBMISSION", 2, "broken.zip"),
        ("codabench run broken.zip SUBMISSION -o file", 2, "is a file, where a folder is needed"),
        ("convert weights.pth", 2, "weights.pth"),
        ("report run/leaderboard.html", 2, "is not a file of results"),
        ("export run/leaderboard.html", 2, "name the folder of a finished run"),
        ("export run/layers/SESR.json", 2, "is not a file of results"),
        ("choose run/leaderboard.csv", 2, "is not a file of results"),
        ("export run --format xml", 2, "html-fragment, paper, codabench"),
        ("export run -o empty", 2, "empty: is a folder. Name a file"),
        ("export run -o file/table.md", 2, "is a file, where a folder is needed"),
        ("export run --format paper -o file", 2, "is a file, where a folder is needed"),
        ("compare run run -o empty", 2, "is a folder"),
        ("history --in . -o empty", 2, "is a folder"),
        ("publish run --out file", 2, "is a file, where a folder is needed"),
        ("export broken", 3, "is not JSON"),
        ("compare cut --models LRSRN SESR", 3, "per_image.csv: is damaged"),
    ],
)
def test_who_is_at_fault_decides_the_status(
    places: Path, monkeypatch: pytest.MonkeyPatch, command: str, status: int, words: str
) -> None:
    monkeypatch.chdir(places)
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(places / "cache"))
    arguments = [str(ROOT / "submissions" / "LRSRN") if one == "SUBMISSION" else one for one in command.split()]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == status, done.output
    assert words.casefold() in " ".join(done.output.split()).casefold()
    assert "Traceback" not in done.output
