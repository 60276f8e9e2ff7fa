"""Time the exported graph of a submission's network, in a process that executes none of the submission's code.

Code that rewrites its worker can report any time. Its graph (``torch.export``) is data: it is loaded in a clean worker,
must reproduce an image that was scored, and is timed beside the anchor. A network that is much faster than its own
graph owes that to something beside the graph: a cheat, or code that torch does not see, such as a kernel of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.errors import WorkerError
from harness.isolation.session import Session
from harness.results import Measurement, TimingRecord
from harness.run.context import RunContext
from harness.run.recount import LEAST_PSNR, graph_worker, image_psnr
from harness.run.submission_run import SubmissionRun
from harness.statistics.runtime_summary import round_ratios
from harness.timing import FrameSource, protocol_for
from harness.timing.bursts import AnchorLostError
from harness.timing.network_state import NetworkState, ProcessTiming
from harness.timing.round_settings import RoundSettings
from harness.timing.rounds import Rounds

SUSPICIOUS_RATIO = 1.5
"""Of the graph's time to the network's. Two processes of one network differ by a few percent."""
_BUDGET_S = 4.0  # for the graph


@dataclass(frozen=True, slots=True)
class GraphTime:
    """Result of timing a graph in a process without submitted code.

    Attributes
    ----------
    ratio
        The graph's time divided by the network's own; None if unknown.
    ms
        Median of the graph's calls, milliseconds; None if unknown.
    reason
        Why they are unknown.
    """

    ratio: float | None = None
    ms: float | None = None
    reason: str = ""


def verify_graph(run: SubmissionRun, context: RunContext) -> None:
    """Time the graph that a submission's worker exported, and add the result to the notes of its row."""
    # Neither a graph nor an error: the run does not verify graphs, or not that of this network.
    if run.graph_error or run.graph is not None:
        run.progress.stage(run.slug, "time", "its exported graph")
        context.engine.hold()  # no worker starts beside a timing
        try:
            found = GraphTime(reason=run.graph_error) if run.graph is None else _time(run, context, run.graph)
        finally:
            context.engine.release()
        run.measurement = with_graph_time(run.measurement, found)


def with_graph_time(measurement: Measurement, found: GraphTime) -> Measurement:
    """Return the measurement with a note on the graph's time, and with a warning if it is suspicious."""
    if found.ratio is None or found.ms is None:
        note = f"its time is not verified by its graph: {found.reason}"
        return measurement.model_copy(update={"notes": [*measurement.notes, note]})
    note = f"its exported graph alone takes {found.ratio:.2f} times as long ({found.ms:.3g} ms)"
    if found.ratio <= SUSPICIOUS_RATIO:
        return measurement.model_copy(update={"notes": [*measurement.notes, note]})
    note = f"suspicious: {note}; what makes the network faster is not in its graph, so read its code"
    warnings = [*measurement.warnings, note]
    return measurement.model_copy(update={"notes": [*measurement.notes, note], "warnings": warnings})


def compare(own: TimingRecord, graph: TimingRecord) -> float | None:
    """Return the time of the graph divided by the network's own; None where one of them has no calls.

    Both are related to the anchor where they were timed in rounds, because they were timed at different moments.
    """
    if own.rounds and graph.rounds:
        # Times divided by the anchor's in the same round. The anchor's process may be another one for each record.
        both = (float(np.median(round_ratios(record).values)) for record in (graph, own))
    elif own.samples and graph.samples:
        both = (float(np.median([ms for _, ms in record.samples])) for record in (graph, own))
    else:
        return None
    of_graph, of_network = both
    return of_graph / of_network


def _anchor_session(context: RunContext) -> Session:
    """Return the anchor's session; its failure is none of the graph's."""
    try:
        return context.anchor.open()[0]
    except WorkerError as error:
        raise AnchorLostError(error) from error


def _time(run: SubmissionRun, context: RunContext, graph: bytes) -> GraphTime:
    plan, own = run.plan, run.measurement.timing
    if own is None or run.scored_image is None:
        return GraphTime(reason="the network has no time or no image")
    lr, sr = run.scored_image
    try:
        with graph_worker(context.engine, run.worker.job(), graph, plan.request.backend) as session:
            psnr = image_psnr(session.upscale(lr), sr)
            # A graph of another network would have any time, so its time would say nothing.
            if psnr < LEAST_PSNR:
                return GraphTime(reason=f"its graph computes another image (PSNR {psnr:.1f} dB between the two)")
            state = NetworkState("graph", ProcessTiming(session))
            # The anchor of the run, so that both ratios refer to the same network and usually to the same process.
            anchor = NetworkState("anchor", ProcessTiming(_anchor_session(context)))
            budget_s = min(_BUDGET_S, plan.protocol.budget_s or _BUDGET_S)
            # One process is enough to find a factor of 1.5.
            protocol = protocol_for(plan.device.kind, budget_s=budget_s, precision=plan.protocol.precision, processes=1)
            threads = plan.device.threads if plan.device.kind == "cpu" else None
            settings = RoundSettings(protocol, plan.track.scale, threads)
            Rounds([state], anchor, FrameSource(plan.timing_frames()), settings).run()
    except WorkerError as error:
        return GraphTime(reason=f"its graph cannot be used ({error.what[:300]})")
    # It does not start, or is lost while it is timed.
    except AnchorLostError as error:
        context.anchor.drop()
        return GraphTime(reason=f"the anchor failed ({error.reason.what[:300]})")
    if state.error is not None:
        return GraphTime(reason=f"its graph could not be timed ({state.error.what[:300]})")
    record = state.current.record(protocol.turn_statistic)
    ratio = compare(own, record)
    return GraphTime(ratio, float(np.median([ms for _, ms in record.samples])), "there are no calls")
