"""In which order the networks of a group are timed.

`ORDERS` has one class for each value of :attr:`harness.timing.TimingProtocol.order`. A further order is one more class
there, and a protocol that names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.isolation.session import Session
from harness.results import TimingRecord
from harness.run.context import RunContext
from harness.run.interleaved import InterleavedTiming
from harness.run.submission_run import SubmissionRun
from harness.timing import TimingProtocol
from harness.timing.network_state import NetworkState

# torch's own error, the watcher's limit, Python's error, and torch's error for failures of the device's runtime.
_OUT_OF_MEMORY = frozenset({"OutOfMemoryError", "MemoryLimit", "MemoryError", "AcceleratorError"})


class TimingOrder(Protocol):
    """Times the networks of a group."""

    @property
    def loads_together(self) -> bool:
        """Whether a group has as many networks as fit into memory; otherwise every network is a group."""
        ...

    def time(self, runs: Sequence[SubmissionRun], context: RunContext) -> list[SubmissionRun]:
        """Time all networks.

        Parameters
        ----------
        runs
            Prepared submissions. Each receives its timing; one that fails is finished with its error.
        context
            The run's resources.

        Returns
        -------
        list of SubmissionRun
            Those that ran out of memory beside others. Their workers have ended, and they are not finished.
        """
        ...


class Alone:
    """Time each network from its first call to its last before the next one begins."""

    loads_together = False

    def time(self, runs: Sequence[SubmissionRun], context: RunContext) -> list[SubmissionRun]:
        """Time all networks; none of them shares the memory with another."""
        anchor = context.anchor.try_open()
        for run in runs:
            context.attempt(run, lambda run=run: run.time_alone(anchor))  # type: ignore[misc]
        return []


class InRounds:
    """Let all networks take turns, with the anchor network between them."""

    loads_together = True

    def time(self, runs: Sequence[SubmissionRun], context: RunContext) -> list[SubmissionRun]:
        """Time all networks; if the anchor fails, time those that have no times yet alone."""

        def open_anchor() -> tuple[Session, str]:
            for run in runs:  # no network runs while the anchor is loaded
                if run.worker.session is not None:
                    run.worker.session.pause()
            context.progress.stage("", "start", "of the anchor network")
            return context.anchor.open()

        def save(run: SubmissionRun, timing: TimingRecord | None) -> None:
            _save_unfinished(run, timing, context)

        known = context.earlier_timings()
        timing = InterleavedTiming(context.plan, context.engine, context.progress, open_anchor, known, save)
        networks = timing.run(runs)
        # A new anchor process is started for the next group.
        if timing.anchor_error is not None:
            context.anchor.drop()
        out_of_memory = []
        for run, network in zip(runs, networks, strict=True):
            if network.record is not None:
                run.set_timing(network.record)
            # Checked before its error is handled: it is not finished, but tried again alone.
            if _is_crowded_out(network, len(runs)):
                run.worker.close()
                out_of_memory.append(run)
            else:
                _handle_errors(run, network, context)
        return out_of_memory


ORDERS: dict[str, TimingOrder] = {"alone": Alone(), "rounds": InRounds()}
"""Every order, by the name that protocols use."""


def order_of(protocol: TimingProtocol) -> TimingOrder:
    """Return the order of a protocol."""
    return ORDERS[protocol.order]


def _is_crowded_out(network: NetworkState, networks: int) -> bool:
    """Return whether a network ran out of memory beside others, so that it may succeed alone."""
    return networks > 1 and network.error is not None and network.error.kind in _OUT_OF_MEMORY


def _handle_errors(run: SubmissionRun, network: NetworkState, context: RunContext) -> None:
    """Finish a submission that failed; time one alone that has no times because the anchor failed."""
    if network.error is not None:
        run.fail(network.error)
        context.finish(run)
    elif network.anchor_error is not None:
        reason = (
            f"timed alone, not in rounds, because the harness's anchor network failed ({network.anchor_error.what})"
        )
        context.attempt(run, lambda: run.time_alone(None, reason))


def _save_unfinished(run: SubmissionRun, timing: TimingRecord | None, context: RunContext) -> None:
    """Store what is timed of a network, for a run that is stopped; forget it if the network failed."""
    if timing is None:
        # Otherwise a resumed run would take up its times and never meet the failure.
        context.store.forget_unfinished(run.measurement.fingerprint)
        return
    run.set_timing(timing)
    run.set_ceilings(context.anchor.ceilings)
    context.store.save_unfinished(run.measurement)
