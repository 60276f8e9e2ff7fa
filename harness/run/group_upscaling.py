"""The last stage of a group of timed submissions: images, or none where only times are measured."""

from __future__ import annotations

from collections.abc import Sequence

from harness.run.context import RunContext
from harness.run.graph_timing import verify_graph
from harness.run.submission_run import SubmissionRun


def upscale_group(group: Sequence[SubmissionRun], context: RunContext) -> None:
    """Upscale the data set with every network of a group, measure quality, and finish each submission."""
    running = [run for run in group if run.is_running]
    float32_jobs = [run.float32_job() for run in running]
    # While one network upscales, the worker that runs it in float32 may start.
    context.engine.expect(job for job in float32_jobs if job is not None)
    for run, job in zip(running, float32_jobs, strict=True):
        if context.attempt(run, lambda run=run: run.upscale(context.engine)):  # type: ignore[misc]
            # After `upscale`, which ends the worker: the graph is timed while no submitted code runs.
            verify_graph(run, context)
            context.finish(run)
        if job is not None:
            context.engine.forget(job)  # if the submission failed before it was used


def finish_group(group: Sequence[SubmissionRun], context: RunContext) -> None:
    """End the workers of a group and finish each submission without any image."""
    for run in group:
        if run.is_running:
            run.worker.close()
            context.finish(run)
