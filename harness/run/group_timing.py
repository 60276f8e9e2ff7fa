"""Timing of a group of prepared submissions."""

from __future__ import annotations

from collections.abc import Sequence

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
    out_of_memory = order_of(context.plan.protocol).time(untimed, context)
    context.engine.release()
    for run in untimed:
        if run.is_running:
            run.keep_ceilings(context.anchor.ceilings)
            context.store.save_unfinished(run.measurement)  # a stopped run goes on with the images
    return out_of_memory
