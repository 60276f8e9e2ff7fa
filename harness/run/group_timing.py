"""Timing of a group of prepared submissions."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import WorkerError
from harness.isolation.session import Session
from harness.results import TimingRecord
from harness.run.context import RunContext
from harness.run.interleaved import InterleavedTiming
from harness.run.submission_run import SubmissionRun

_OUT_OF_MEMORY = frozenset({"OutOfMemoryError", "MemoryLimit", "MemoryError", "AcceleratorError"})


def time_group(group: Sequence[SubmissionRun], context: RunContext) -> list[SubmissionRun]:
    """Time the networks of a group, in rounds or one after another, as the protocol says.

    Parameters
    ----------
    group
        Prepared submissions. Those that an earlier run has timed are left as they are.
    context
        The run's resources.

    Returns
    -------
    list of SubmissionRun
        Those that ran out of memory beside others. Their workers have ended, and they are not finished.
    """
    untimed = [run for run in group if not run.is_timed]
    if not untimed:
        return []
    context.engine.hold()  # no worker starts beside a timing
    out_of_memory: list[SubmissionRun] = []
    if context.plan.protocol.order == "rounds":
        out_of_memory = _time_in_rounds(untimed, context)
    else:
        anchor = context.anchor.try_open()
        for run in untimed:
            context.attempt(run, lambda run=run: run.time_alone(anchor))  # type: ignore[misc]
    context.engine.release()
    for run in untimed:
        if run.is_running:
            run.keep_ceilings(context.anchor.ceilings)
            context.store.save_unfinished(run.measurement)  # a stopped run goes on with the images
    return out_of_memory


def _time_in_rounds(runs: Sequence[SubmissionRun], context: RunContext) -> list[SubmissionRun]:
    def open_anchor() -> tuple[Session, str]:
        for run in runs:
            if run.worker.session is not None:
                run.worker.session.pause()
        context.progress.stage("", "start", "of the anchor network")
        return context.anchor.open()

    def keep(run: SubmissionRun, timing: TimingRecord | None) -> None:
        _keep_unfinished(run, timing, context)

    timing = InterleavedTiming(context.plan, context.engine, context.progress, open_anchor, keep)
    timed = timing.run(runs)
    if timing.lost is not None:
        context.anchor.drop()
    out_of_memory = []
    for run, result in zip(runs, timed, strict=True):
        if result.record is not None:
            run.keep_timing(result.record)
        if result.error is not None and result.error.kind in _OUT_OF_MEMORY and len(runs) > 1:
            run.worker.close()
            out_of_memory.append(run)
        elif result.error is not None:
            run.fail(result.error)
            context.finish(run)
        elif result.lost is not None:
            _time_alone_instead(run, result.lost, context)
    return out_of_memory


def _keep_unfinished(run: SubmissionRun, timing: TimingRecord | None, context: RunContext) -> None:
    """Store what is timed of a network, for a run that is stopped; forget it if the network failed."""
    if timing is None:
        context.store.forget_unfinished(run.measurement.fingerprint)
        return
    run.keep_timing(timing)
    run.keep_ceilings(context.anchor.ceilings)
    context.store.save_unfinished(run.measurement)


def _time_alone_instead(run: SubmissionRun, lost: WorkerError, context: RunContext) -> None:
    reason = f"timed alone, not in rounds, because the harness's anchor network failed ({lost.what})"
    context.attempt(run, lambda: run.time_alone(None, reason))
