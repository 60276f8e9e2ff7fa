"""Which measurements of an earlier run are reused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from several import Several

from harness.engines import Engine
from harness.engines.inline import InlineEngine
from harness.pipeline import run
from harness.results import ErrorInfo, Measurement, RunStore, TimingRecord
from harness.results.measurement import RemainingWork, RoundTimes
from harness.run.plan import PlannedSubmission, RunRequest, make_plan
from harness.run.progress import ProgressEvent, StageProgress
from harness.run.resume import ResumePolicy

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


def planned_one(request: RunRequest) -> tuple[ResumePolicy, RunStore, PlannedSubmission]:
    plan = make_plan(request)
    store = RunStore(plan.folder)
    return ResumePolicy(plan, store), store, plan.submissions[0]


def failed(planned: PlannedSubmission, kind: str, status: str = "failed") -> Measurement:
    reason = ErrorInfo(stage="load", type=kind, message="no")
    return Measurement.empty(planned.fingerprint).model_copy(update={"status": status, "error": reason})


@pytest.mark.parametrize(
    ("kind", "status", "options", "reused"),
    [
        ("Crash", "failed", {}, True),
        ("Crash", "failed", {"retry_failed": True}, False),
        ("Disqualified", "disqualified", {"retry_failed": True}, False),
        ("UnsupportedError", "unsupported", {}, False),  # its package may be installed by now
        ("CheckpointError", "failed", {}, True),
        ("CheckpointError", "failed", {"trust_pickle": True}, False),
    ],
)
def test_a_failed_submission_is_tried_again_if_it_may_end_differently(
    submit: Submit,
    request_for: Request,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    status: str,
    options: dict,
    reused: bool,
) -> None:
    monkeypatch.setattr("harness.run.plan.require_sandbox_for_pickles", lambda _choice: None)
    submit("one")
    policy, store, planned = planned_one(request_for(**options))
    store.save_measurement(failed(planned, kind, status))
    assert (policy.finished(planned) is not None) == reused


def test_a_damaged_measurement_is_not_reused(submit: Submit, request_for: Request) -> None:
    submit("one")
    finished = run(request_for(), engine=InlineEngine())
    policy, _, planned = planned_one(request_for())
    assert policy.finished(planned) is not None
    next((finished.folder / "measurements").glob("*.json")).write_text('{"fingerprint": 3')
    assert policy.finished(planned) is None


def test_a_row_without_its_saved_images_is_measured_again(submit: Submit, request_for: Request) -> None:
    submit("one")
    run(request_for(), engine=InlineEngine())
    policy, _, planned = planned_one(request_for(save_images=True))
    assert policy.finished(planned) is None
    run(request_for(save_images=True), engine=InlineEngine())
    assert policy.finished(planned) is not None


def test_the_next_process_follows_those_that_were_timed(submit: Submit, request_for: Request) -> None:
    submit("one")
    policy, store, planned = planned_one(request_for())
    assert policy.processes_done(planned) == 0
    rounds = [RoundTimes(number=n, calls=1, process=n // 2, anchor_ms=(1.0, 1.0)) for n in range(4)]
    timing = TimingRecord(
        clock="host",
        samples=[(float(n), 1.0) for n in range(4)],
        rounds=rounds,
        remaining_work=RemainingWork(processes=1, next_round=4),
    )
    measurement = Measurement.empty(planned.fingerprint)
    store.save_unfinished(measurement)
    assert policy.unfinished(planned) is None  # nothing of it was timed
    store.save_unfinished(measurement.model_copy(update={"timing": timing}))
    assert policy.processes_done(planned) == 2
    assert policy.finished(planned) is None


class _Interrupt:
    """Interrupts a run when a network reaches a stage."""

    def __init__(self, slug: str, stage: str) -> None:
        self._slug, self._stage = slug, stage

    def __call__(self, event: ProgressEvent) -> None:
        if isinstance(event, StageProgress) and (event.slug, event.stage) == (self._slug, self._stage):
            raise KeyboardInterrupt


@pytest.mark.parametrize("engine", [InlineEngine(), Several()], ids=["one", "several"])
def test_an_interrupted_run_keeps_the_rows_that_are_stored(
    submit: Submit, request_for: Request, engine: Engine
) -> None:
    for name in ("middle", "zebra"):
        submit(name)
    submit("broken", "raise ValueError('odd')")
    before = run(request_for(), engine=engine)
    submit("added")  # comes before the others
    stopped = run(request_for(retry_failed=True), [_Interrupt("added", "load")], engine)
    assert not stopped.run.run.complete
    assert {row.name for row in stopped.run.entries} == {"broken", "middle", "zebra"}
    kept = {row.name: (row.status, row.runtime_ms, row.psnr_rgb) for row in before.run.entries}
    assert {row.name: (row.status, row.runtime_ms, row.psnr_rgb) for row in stopped.run.entries} == kept
    whole = run(request_for(), engine=engine)
    assert {row.name for row in whole.run.entries} == {"added", "broken", "middle", "zebra"}


def test_results_outlive_an_interrupt_before_the_first_measurement(submit: Submit, request_for: Request) -> None:
    submit("net")
    finished = run(request_for(), engine=InlineEngine())
    files = {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()}
    other = request_for(time_budget_s=0.06, conventions=("matlab",))  # nothing stored is of these conditions
    with pytest.raises(KeyboardInterrupt, match="results of the run before"):
        run(other, [_Interrupt("net", "load")], InlineEngine())
    assert {path: path.read_bytes() for path in finished.folder.rglob("*") if path in files} == files


def test_other_tables_in_the_folder_of_a_run_stay(submit: Submit, request_for: Request, tmp_path: Path) -> None:
    submit("net")
    mine = tmp_path / "run" / "tables" / "paper" / "table.tex"
    mine.parent.mkdir(parents=True)
    mine.write_text("by hand")
    run(request_for(), engine=InlineEngine())
    assert mine.read_text() == "by hand"
