"""``harness time``: time submissions without upscaling the data set, scoring or keeping anything."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.engines import Engine, LocalEngine
from harness.results import ErrorInfo, Measurement, RunStore, TimingRecord
from harness.results.run_info import DeviceInfo, ProtocolInfo
from harness.results.schema import Roofline, Runtime
from harness.run.context import RunContext
from harness.run.group_timing import time_group
from harness.run.group_upscaling import finish_group
from harness.run.plan import Plan, RunRequest, make_plan
from harness.run.progress import Listener, Progress
from harness.run.scheduler import Scheduler
from harness.statistics.process_spread import ProcessSpread
from harness.statistics.runtime_summary import anchor_level, process_spread, summarise_record
from harness.timing import caution
from harness.tracks.roofline import roofline


@dataclass(frozen=True, slots=True)
class SubmissionTime:
    """How long one submission takes.

    Attributes
    ----------
    name
        From the manifest.
    runtime
        None if it failed.
    timing
        Every timed call; None if it failed before the timing.
    params, macs, peak_memory_bytes
        Of the form that was timed.
    macs_are_lower_bound
        Whether operators that can hold multiply-accumulates were not counted.
    build_s
        Seconds that the backend took to compile, export or record it; None for backends that build nothing.
    roofline
        Rates, shares of the device's ceilings, and what bounds the network.
    error
        Why there is no runtime.
    """

    name: str
    runtime: Runtime | None
    timing: TimingRecord | None
    params: int | None
    macs: int | None
    macs_are_lower_bound: bool
    peak_memory_bytes: int | None
    build_s: float | None
    roofline: Roofline | None
    error: ErrorInfo | None


@dataclass(frozen=True, slots=True)
class Times:
    """The result of :func:`time_submission`."""

    device: DeviceInfo
    protocol: ProtocolInfo
    rows: list[SubmissionTime]
    spread: ProcessSpread
    """How much the processes of one network differ."""
    caution: str | None = None
    """A limitation of all times, such as a precision that a CPU emulates."""


def time_submission(request: RunRequest, listeners: Sequence[Listener] = (), engine: Engine | None = None) -> Times:
    """Load, reparameterize, count and time submissions as a run does.

    Parameters
    ----------
    request
        As for a run; ``submissions`` is usually one path. Baselines and the output folder are left out.
    listeners
        Called with every progress event.
    engine
        Opens workers; those of this machine by default.

    Raises
    ------
    UsageError, DataError
        The request cannot be carried out.
    """
    engine = engine or LocalEngine()
    with tempfile.TemporaryDirectory(prefix="sr-harness-") as folder:
        plan = make_plan(replace(request, with_baselines=False, out=Path(folder)), engine=engine)
        return time_planned(plan, listeners, engine)


def time_planned(plan: Plan, listeners: Sequence[Listener] = (), engine: Engine | None = None) -> Times:
    """Time what is planned; its folder is used for what is measured meanwhile, and other options as they are.

    Parameters
    ----------
    plan
        Submissions, timed size and protocol.
    listeners, engine
        As for :func:`time_submission`.
    """
    progress = Progress(listeners)
    # No images are upscaled.
    progress.start(plan.names, 0, plan.protocol.budget_s, plan.protocol.processes, note=plan.note)
    with RunContext(plan, RunStore(plan.folder), engine or LocalEngine(), progress) as context:
        scheduler = Scheduler(context, upscales=False)
        for group in scheduler.prepare_groups():
            scheduler.retry_alone(time_group(group, context))
            finish_group(group, context)
    progress.end()
    measured = context.measurements()
    records = [m.timing for _, m in measured if m.timing is not None]
    # What the times of all rows share, as in `assemble`.
    scale = anchor_level(records), process_spread(records)
    rows = [_row(planned.submission.name, m, plan, *scale) for planned, m in measured]
    return Times(plan.device, plan.protocol_info(), rows, scale[1], caution(plan.protocol, plan.device.kind))


def _row(
    name: str, measured: Measurement, plan: Plan, anchor_ms: float | None, spread: ProcessSpread
) -> SubmissionTime:
    runtime = (
        summarise_record(measured.timing, plan.protocol.summary_rule, anchor_ms, spread) if measured.timing else None
    )
    return SubmissionTime(
        name=name,
        runtime=runtime,
        timing=measured.timing,
        params=measured.params,
        macs=measured.macs,
        macs_are_lower_bound=bool(measured.incomplete_ops),
        peak_memory_bytes=measured.peak_memory_bytes,
        build_s=measured.build_s,
        # Rates by the statistic that the protocol scores.
        roofline=roofline(measured, getattr(runtime, plan.protocol.statistic)) if runtime else None,
        error=measured.error,
    )
