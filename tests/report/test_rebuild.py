"""Pages are built again if anything that they are made of has changed, and only then."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.report import page, rebuild
from harness.report.rebuild import rebuild_report
from harness.results.store import read_run, save_table

Make = Callable[..., Path]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the folders for which pages are built, in order."""
    calls: list[Path] = []

    def build(run_dir: Path) -> Path:
        calls.append(run_dir)
        for name in ("leaderboard.html", "models/one.html"):
            (run_dir / name).parent.mkdir(exist_ok=True)
            (run_dir / name).write_text("a page")
        return run_dir / "leaderboard.html"

    monkeypatch.setattr(page, "build_report", build)
    return calls


def test_pages_of_an_unchanged_run_are_kept(make_run: Make, built: list[Path]) -> None:
    folder = make_run()
    assert rebuild_report(folder) == rebuild_report(folder) == folder / "leaderboard.html"
    # The same results, written again.
    save_table(folder, read_run(folder))
    before = (folder / "results.json").stat().st_mtime_ns
    save_table(folder, read_run(folder))
    assert (folder / "results.json").stat().st_mtime_ns == before
    rebuild_report(folder)
    (folder / ".lock").touch()
    (folder / ".progress.json").write_text("{}")
    rebuild_report(folder)
    assert len(built) <= 2


def other_results(folder: Path) -> None:
    run = read_run(folder)
    save_table(folder, run.model_copy(update={"warnings": [*run.warnings, "one more"]}))


def other_time(folder: Path) -> None:
    os.utime(folder / "per_image.csv", ns=(1, 1))


def new_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("new")


CHANGES: dict[str, Callable[[Path], object]] = {
    "results": other_results,
    "figures of images": lambda folder: (folder / "per_image.csv").write_text("slug,image\n"),
    "the same size at another time": other_time,
    "a new log": lambda folder: new_file(folder / "logs" / "new.log"),
    "a new crop": lambda folder: new_file(folder / "crops" / "one" / "crop.png"),
    "samples removed": lambda folder: next((folder / "samples").iterdir()).unlink(),
    "an edited page": lambda folder: (folder / "models" / "one.html").write_text("edited"),
    "a page removed": lambda folder: (folder / "models" / "one.html").unlink(),
    "the leaderboard removed": lambda folder: (folder / "leaderboard.html").unlink(),
    "a renamed page": lambda folder: (folder / "models" / "one.html").rename(folder / "models" / "two.html"),
    "the state removed": lambda folder: (folder / ".pages").unlink(),
    "the state damaged": lambda folder: (folder / ".pages").write_bytes(b"\xff"),
    "the state empty": lambda folder: (folder / ".pages").write_text(""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_anything_builds_them_again(make_run: Make, built: list[Path], change: str) -> None:
    folder = make_run()
    rebuild_report(folder)
    rebuild_report(folder)
    assert len(built) == 1
    CHANGES[change](folder)
    rebuild_report(folder)
    assert len(built) == 2
    rebuild_report(folder)
    assert len(built) == 2


@pytest.mark.parametrize("what", ["code", "library"])
def test_another_version_builds_them_again(
    make_run: Make, built: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    package = tmp_path / "package"
    (package / "report").mkdir(parents=True)
    template = package / "report" / "model.html"
    template.write_text("one")
    monkeypatch.setattr(rebuild, "_PACKAGE", package)
    monkeypatch.setattr(rebuild, "loaded_code", lambda: rebuild._code())  # of a process that was started later
    folder = make_run()
    rebuild_report(folder)
    rebuild_report(folder)
    if what == "code":
        template.write_text("two")
    else:
        monkeypatch.setattr(rebuild, "version", lambda library: "99" if library == "matplotlib" else "1")
    rebuild_report(folder)
    assert len(built) == 2


def test_code_that_is_replaced_during_a_run_is_not_that_of_its_pages(
    make_run: Make, built: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run()
    rebuild_report(folder)
    monkeypatch.setattr(rebuild, "loaded_code", lambda: "older")
    rebuild_report(folder)
    monkeypatch.undo()
    assert len(built) == 2
    assert (folder / ".pages").read_text() == ""


def test_files_in_a_linked_folder_count(make_run: Make, built: list[Path], tmp_path: Path) -> None:
    folder, elsewhere = make_run(), tmp_path / "elsewhere"
    (folder / "samples").rename(elsewhere)
    (folder / "samples").symlink_to(elsewhere)
    rebuild_report(folder)
    rebuild_report(folder)
    assert len(built) == 1
    new_file(elsewhere / "another.json")
    rebuild_report(folder)
    assert len(built) == 2


def test_what_cannot_be_looked_at_is_never_taken_for_unchanged(
    make_run: Make, built: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run()

    def fail(_: Path) -> list[Path]:
        raise PermissionError

    monkeypatch.setattr(rebuild, "_visible_files", fail)
    rebuild_report(folder)
    rebuild_report(folder)
    assert len(built) == 2


def test_pages_stay_where_their_state_cannot_be_written(make_run: Make, built: list[Path]) -> None:
    folder = make_run()
    (folder / ".pages").mkdir()
    assert rebuild_report(folder).read_text() == "a page"
    assert len(built) == 1
