"""The validator finds what Codabench refuses or drops, in a bundle that was right before it was changed."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli import app
from harness.codabench import check_bundle
from harness.errors import UsageError

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def changed(bundle: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a copy of the bundle with another description or other files."""

    def write(change: Change | None = None, files: dict[str, bytes | None] | None = None, prefix: str = "") -> Path:
        path = tmp_path / "changed.zip"
        with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(path, "w") as new:
            contents: dict[str, bytes | None] = {name: old.read(name) for name in old.namelist()}
            description = yaml.safe_load(contents["competition.yaml"] or b"")
            if change is not None:
                change(description)
            contents["competition.yaml"] = yaml.safe_dump(description).encode()
            for name, content in {**contents, **(files or {})}.items():
                if content is not None:
                    new.writestr(prefix + name, content)
        return path

    return write


def errors(path: Path) -> str:
    return "\n".join(f"{one.where}: {one.message}" for one in check_bundle(path) if one.level == "error")


def test_a_generated_bundle_has_no_errors(bundle: Path) -> None:
    assert [(one.level, one.where) for one in check_bundle(bundle)] == [("warning", "docker_image")]


def phase(description: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return description["phases"][number]  # type: ignore[no-any-return]


def columns(description: dict[str, Any]) -> list[dict[str, Any]]:
    return description["leaderboards"][0]["columns"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda d: d.pop("version"), "version: is missing"),
        (lambda d: d.update(version=1), "version"),
        (lambda d: d.pop("image"), "image: is missing"),
        (lambda d: d.update(image="none.png"), "there is no file 'none.png'"),
        (lambda d: d.update(leaderboard=d.pop("leaderboards")), "leaderboards: is missing"),
        (lambda d: phase(d, 1).update(start=phase(d)["end"]), "starts at the very date"),
        (lambda d: phase(d, 1).update(start=phase(d)["start"]), "overlaps with Development"),
        (lambda d: phase(d).pop("end"), "a phase follows"),
        (lambda d: phase(d).update(tasks=[7]), "no task with the index 7"),
        (lambda d: phase(d).update(tasks=[]), "tasks"),
        (lambda d: phase(d).update(start="soon"), "start"),
        (lambda d: phase(d).update(starting_kit="kit.zip"), "no folder or zip file 'kit.zip'"),
        (lambda d: d["tasks"][0].pop("scoring_program"), "every task needs one"),
        (lambda d: d["tasks"][0].update(index=1), "several tasks have the index 1"),
        (lambda d: d["tasks"][0].update(reference_data="truth"), "no folder or zip file 'truth'"),
        (lambda d: columns(d)[1].update(key="score"), "several columns have the key 'score'"),
        (lambda d: columns(d)[0].update(index=99), "no column has the index 0"),
        (lambda d: columns(d)[0].update(title="x" * 37), "36 characters"),
        (lambda d: columns(d)[0].update(sorting="down"), "sorting"),
        (lambda d: columns(d)[0].update(computation="sum"), "belong together"),
        (lambda d: columns(d)[0].update(computation="sum", computation_indexes=[0]), "which it cannot"),
        (lambda d: d["leaderboards"][0].update(submission_rule="Best"), "submission_rule"),
    ],
)
def test_what_codabench_refuses_is_an_error(changed: Callable[..., Path], change: Change, found: str) -> None:
    assert found in errors(changed(change))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"pages/terms.md": b""}, "terms.md is empty"),
        ({"scoring_program_0/metadata.yaml": None}, "no metadata.yaml"),
        ({"scoring_program_0/metadata.yaml": b"description: none"}, "no `command`"),
        ({"scoring_program_0/metadata.yaml": b"a: [1"}, "is not YAML"),
        ({"scoring_program_0/metadata.yaml": b"command: x\ndate: 2026-02-30"}, "is not YAML"),
        ({"scoring_program_0/metadata.yaml": b"[" * 20_000}, "is not YAML"),
        ({"scoring_program_0/metadata.yaml": b"command: \xff\xfe\x00"}, "is not YAML"),
        ({"scoring_program_0/metadata.yaml": b"command: [python3, score.py]"}, "`command` is no command line"),
        ({"scoring_program_0/metadata.yaml": b"command: python3 'score.py"}, "`command` is no command line"),
        ({"scoring_program_0/metadata.yaml": b"command: ' '"}, "`command` is no command line"),
    ],
)
def test_files_are_checked(changed: Callable[..., Path], files: dict[str, bytes | None], found: str) -> None:
    assert found in errors(changed(files=files))


def test_a_program_may_be_a_zip_file(changed: Callable[..., Path]) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("metadata.yaml", "command: python3 /app/program/score.py")

    def use(description: dict[str, Any]) -> None:
        description["tasks"][0]["scoring_program"] = "program.zip"

    assert errors(changed(use, {"program.zip": inner.getvalue()})) == ""
    assert "no metadata.yaml" in errors(changed(use, {"program.zip": b"PK"}))


def test_what_codabench_ignores_is_a_warning(changed: Callable[..., Path]) -> None:
    def change(description: dict[str, Any]) -> None:
        description["phase"] = []
        phase(description)["max_submission"] = 3
        phase(description)["execution_time_limit"] = 6000

    found = {one.where: one.message for one in check_bundle(changed(change)) if one.level == "warning"}
    assert "did you mean phases" in found["phase"]
    assert "ignored" in found["phases.0.max_submission"]
    assert "600 s" in found["phases.Development.execution_time_limit"]


def test_a_folder_that_was_zipped_is_named(changed: Callable[..., Path]) -> None:
    assert "it is in mine; zip the files" in errors(changed(prefix="mine/"))


@pytest.mark.parametrize("text", [b"", b"- a", b"{", b"\xff\xfe", b"a: &a [*a]"])
def test_any_description_ends_in_a_message(changed: Callable[..., Path], text: bytes) -> None:
    assert errors(changed(files={"competition.yaml": text}))


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_text("no zip")
    with pytest.raises(UsageError, match="no zip file"):
        check_bundle(path)


def test_a_damaged_zip_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        place = archive.getinfo("competition.yaml").header_offset + 60
    content = bytearray(bundle.read_bytes())
    content[place : place + 40] = bytes(40)
    path = tmp_path / "bundle.zip"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is a damaged zip file"):
        check_bundle(path)


def test_the_command_exits_with_1_for_errors(bundle: Path, changed: Callable[..., Path]) -> None:
    assert CliRunner().invoke(app, ["codabench", "check", str(bundle)]).exit_code == 0
    broken = CliRunner().invoke(app, ["codabench", "check", str(changed(lambda d: d.pop("terms")))])
    assert (broken.exit_code, "terms: is missing" in broken.output) == (1, True)
    assert CliRunner().invoke(app, ["codabench", "mend", str(bundle)]).exit_code == 2
