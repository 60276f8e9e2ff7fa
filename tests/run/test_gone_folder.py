"""The output folder is removed or replaced during a run, and what is stored in it is damaged: no tracebacks."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from strangers import ScriptedEngine

from harness.errors import ResultsError
from harness.pipeline import run
from harness.run.plan import RunRequest
from harness.run.progress import ProgressEvent, SubmissionFinished

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def replace_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def replace_by_another_folder(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))
    folder.mkdir()


@pytest.mark.parametrize("change", [remove, replace_by_a_file, replace_by_another_folder])
def test_what_was_measured_is_saved_elsewhere(
    submit: Submit, request_for: Request, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    submit("a")
    submit("b", "x = x * 0.9")
    folder = tmp_path / "run"

    def disturb(event: ProgressEvent) -> None:
        if isinstance(event, SubmissionFinished) and event.name == "a":
            change(folder)

    with pytest.raises(ResultsError, match="removed or replaced") as caught:
        run(request_for(), [disturb], ScriptedEngine())
    place = Path(re.search(r"saved in (\S+?)\. ", str(caught.value))[1])
    assert "1 submission is saved" in str(caught.value)
    assert len(list((place / "measurements").glob("*.json"))) == 1
    shutil.rmtree(folder) if folder.is_dir() else folder.unlink(missing_ok=True)
    place.rename(folder)
    reused = []
    run(
        request_for(),
        [lambda e: reused.append(e.reused) if isinstance(e, SubmissionFinished) else None],
        ScriptedEngine(),
    )
    assert reused == [True, False]


@pytest.mark.parametrize("damage", [b"", b"[" * 100_000, b'{"status": 1}', b"\xff", None])
def test_a_damaged_measurement_is_measured_again_with_a_note(
    submit: Submit, request_for: Request, tmp_path: Path, damage: bytes | None
) -> None:
    submit("a")
    run(request_for(), [], ScriptedEngine())
    (stored,) = (tmp_path / "run" / "measurements").glob("*.json")
    content = stored.read_bytes()
    stored.write_bytes(content.replace(b'"samples": [', b'"samples": [[0.0, -1.0],') if damage is None else damage)
    (row,) = run(request_for(), [], ScriptedEngine()).run.entries
    assert row.status == "ok", row.error
    assert any(note.startswith("measured again, because the stored measurement cannot be used") for note in row.notes)
