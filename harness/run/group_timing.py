"""Timing of a group of prepared submissions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from harness.faults import concerns_the_run
from harness.run.context import RunContext
from harness.run.submission_run import SubmissionRun
from harness.run.timing_order import order_of


def time_group(group: Sequence[SubmissionRun], context: RunContext) -> list[SubmissionRun]:
    """Time the networks of a group, in the protocol's order.

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
    try:
        out_of_memory = order_of(context.plan.protocol).time(untimed, context)
    except Exception as error:
        if concerns_the_run(error):
            raise
        out_of_memory = _separated(untimed, error, context)
    finally:
        context.engine.release()
    for run in untimed:
        if run.is_running:
            # Known only now: the anchor measures them when it is first started, which a group's timing does.
            run.set_ceilings(context.anchor.ceilings)
            # A stopped run continues with the images. What cannot be written is the fault of this submission.
            context.attempt(run, lambda run=run: context.store.save_unfinished(run.measurement))  # type: ignore[misc]
    return out_of_memory


def _separated(runs: Sequence[SubmissionRun], error: Exception, context: RunContext) -> list[SubmissionRun]:
    """Handle an exception that does not tell which network caused it: time each in a group of its own.

    A network that is alone already has caused it, and fails.
    """
    waiting = [run for run in runs if run.is_running]
    # The exception may have come from the anchor, so the next group gets a new one.
    context.anchor.drop()
    if len(waiting) == 1:
        context.attempt(waiting[0], partial(_raise, error))
        return []
    for run in waiting:
        run.worker.close()
        # Stored between two processes. Whatever broke the group may have disturbed them, so none of them is continued.
        context.store.forget_unfinished(run.measurement.fingerprint)
    return waiting


def _raise(error: Exception) -> None:
    raise error
