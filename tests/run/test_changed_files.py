"""Submissions whose files change while a run measures them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from several import Several, Unshared

from harness.engines import Engine, Job
from harness.engines.inline import InlineEngine
from harness.isolation.session import Session
from harness.pipeline import run
from harness.results import read_run
from harness.run.plan import RunRequest
from harness.run.progress import ProgressEvent, StageProgress

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


class Meanwhile:
    """Does something when a submission reaches a stage."""

    def __init__(self, slug: str, stage: str, action: Callable[[], object]) -> None:
        self._slug, self._stage, self._action = slug, stage, action
        self.is_done = False

    def __call__(self, event: ProgressEvent) -> None:
        if isinstance(event, StageProgress) and (event.slug, event.stage) == (self._slug, self._stage):
            if not self.is_done:
                self._action()
            self.is_done = True


@pytest.mark.parametrize("engine", [InlineEngine(), Several(), Unshared()], ids=["one", "several", "unshared"])
def test_figures_of_changed_files_are_stored_for_no_version(
    submit: Submit, request_for: Request, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit("steady")
    code = submit("replaced") / "arch.py"
    first, second = code.read_text(), code.read_text() + "# the second version\n"
    opened, start = [], InlineEngine.open

    def replace_once(engine: InlineEngine, job: Job) -> Session:
        session = start(engine, job)
        if job.submission.name == "replaced" and not opened:
            code.write_text(second)
            opened.append(job)
        return session

    monkeypatch.setattr(InlineEngine, "open", replace_once)
    rows = {row.name: row for row in run(request_for(), engine=engine).run.entries}
    assert opened
    assert rows["steady"].status == "ok"
    assert (rows["replaced"].status, rows["replaced"].error.type) == ("failed", "FilesChanged")
    assert "arch.py" in rows["replaced"].error.message
    for content in (second, first):  # the first version was never measured whole, either
        code.write_text(content)
        assert {row.status for row in run(request_for(), engine=engine).run.entries} == {"ok"}


def test_new_files_and_new_times_are_no_change(submit: Submit, request_for: Request) -> None:
    folder = submit("writes")

    def write() -> None:
        (folder / "arch.py").write_text((folder / "arch.py").read_text())
        (folder / "log.txt").write_text("called")
        (folder / "submission.toml").write_text((folder / "submission.toml").read_text() + "# said again\n")

    meanwhile = Meanwhile("writes", "load", write)
    (row,) = run(request_for(), [meanwhile], InlineEngine()).run.entries
    assert meanwhile.is_done
    assert row.status == "ok"


def test_a_submission_that_is_removed_fails(submit: Submit, request_for: Request) -> None:
    code = submit("withdrawn") / "arch.py"
    finished = run(request_for(), [Meanwhile("withdrawn", "upscale", code.unlink)], InlineEngine())
    (row,) = read_run(finished.folder).entries
    assert row.error is not None
    assert row.error.type == "FilesChanged"
