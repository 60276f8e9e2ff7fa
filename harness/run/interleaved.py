"""Time a group of submissions in rounds, in one process after another of each.

Two processes of one network are not equally fast, each for as long as it lives. More rounds in one process do not show
that, so every worker is started again and timed once more.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from harness.backends import BACKENDS
from harness.engines import PrefetchingEngine
from harness.errors import WorkerError
from harness.faults import concerns_the_run, worker_error
from harness.isolation.session import Session
from harness.machine.energy import energy_meter
from harness.machine.gpu_state import Card
from harness.results import TimingRecord
from harness.results.measurement import RemainingWork
from harness.run.plan import Plan
from harness.run.progress import Progress
from harness.run.submission_run import SubmissionRun
from harness.statistics.runtime_summary import relative_times
from harness.statistics.settled import settled
from harness.timing import FrameSource
from harness.timing.bursts import AnchorLostError
from harness.timing.network_state import NetworkState, ProcessTiming
from harness.timing.round_settings import RoundSettings
from harness.timing.rounds import Rounds

# So many that two timings draw overlapping numbers with negligible probability.
_MAX_SKIPPED_ROUNDS = 1 << 40


class InterleavedTiming:
    """One interleaved timing of a group of loaded submissions.

    Parameters
    ----------
    plan
        What the run is.
    engine
        Starts workers.
    progress
        Receives progress.
    open_anchor
        Returns the harness's own network, loaded, and a name that no other process of it has.
    known
        Timings of networks that were finished before, and whether each of them has a rank.
    save
        Called between two processes with a submission and its timing so far, so that a run that is stopped can
        continue from there. Called with None when a submission fails.
    """

    def __init__(
        self,
        plan: Plan,
        engine: PrefetchingEngine,
        progress: Progress,
        open_anchor: Callable[[], tuple[Session, str]],
        known: Sequence[tuple[TimingRecord, bool]],
        save: Callable[[SubmissionRun, TimingRecord | None], None],
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._progress = progress
        self._open_anchor = open_anchor
        self._known = known
        self._save = save
        self._frames = FrameSource(plan.timing_frames())
        self._session = secrets.token_hex(8)
        # Origin of the time stamps of all samples of the session.
        self._begin_s = time.monotonic()
        self._runs: dict[str, SubmissionRun] = {}
        self._next_round = 0

        self.anchor_error: WorkerError | None = None
        """Why the anchor failed; None if it did not."""

    def run(self, runs: Sequence[SubmissionRun]) -> list[NetworkState]:
        """Time all submissions, and return their states in the same order; those that failed have an error."""
        self._runs = {run.slug: run for run in runs}
        busy = self._plan.place.busy()
        networks = [_state_of(run) for run in runs]
        self._resume(networks)
        gpu = self._plan.place.card(self._begin_s)
        active = networks
        while True:
            self._time_one_process(active, gpu, busy)
            self._finish_settled(networks)
            # Networks differ in the number of processes that they need: those that are done take no more turns.
            active = [network for network in active if network.error is None and network.processes_left]
            if self.anchor_error is not None or not active:
                break
            # A run that is stopped from here on repeats none of the processes that have ended.
            self._save_all(networks)
            self._restart(active)
            # A network whose restart failed keeps its records, but takes no turn.
            active = [network for network in active if network.error is None]
        for network in networks:
            self._run_of(network).timed_output = network.current.checks.last_output
            self._run_of(network).timed_parts = network.timed_parts
            if self.anchor_error is not None and network.error is None:
                self._note_anchor_failure(network, self.anchor_error)
        return networks

    def _run_of(self, network: NetworkState) -> SubmissionRun:
        return self._runs[network.slug]

    def _resume(self, networks: Sequence[NetworkState]) -> None:
        """Continue timings that were stopped between two processes.

        Only timings of one session can be continued together. Those of another one start again.
        """
        stopped = [(one, timing) for one in networks if (timing := self._run_of(one).measurement.timing) is not None]
        if not stopped:
            return
        # The name of a session tells which records were timed in the same rounds, so it is kept.
        self._session = stopped[0][1].session
        for network, timing in stopped:
            if timing.session == self._session and timing.remaining_work is not None:
                self._continue(network, timing, timing.remaining_work)
            else:
                self._run_of(network).set_timing(None)
                self._run_of(network).worker.process = 0
        # Other submissions of the session may continue in another group, or in a run of their own. Equal numbers would
        # pretend that their rounds were these, so skip a random number of rounds. It is even, because the order of a
        # round depends on whether its number is.
        self._next_round += 2 * secrets.randbelow(_MAX_SKIPPED_ROUNDS)

    def _continue(self, network: NetworkState, timing: TimingRecord, remaining_work: RemainingWork) -> None:
        """Continue one timing with its next process."""
        self._next_round = max(self._next_round, remaining_work.next_round)
        # Samples state their time since the session began. Those to come must lie after the stored ones.
        self._begin_s = min(self._begin_s, time.monotonic() - max(at_s for at_s, _ in timing.samples))
        network.records.append(timing.model_copy(update={"remaining_work": None}))
        # Processes are numbered from 0, and the one that was interrupted is timed again from its start.
        network.process = 1 + max(turn.process for turn in timing.rounds)
        network.processes = network.process + remaining_work.processes
        # Drawn again, so that a submission cannot know in which process it is checked.
        network.probed_process = network.process + int(self._frames.rng.integers(remaining_work.processes))

    def _time_one_process(self, networks: Sequence[NetworkState], gpu: Card, busy: float) -> None:
        """Time the current process of each network, and add it to the network's records."""
        anchor_name = self._run_rounds(networks, gpu)
        for network in networks:
            process = network.current
            # If the anchor was lost, a process that it left halfway has too few rounds to be compared.
            if process.samples and (process.is_done or self.anchor_error is None):
                statistic = self._plan.protocol.turn_statistic
                network.records.append(process.record(statistic, self._session, anchor_name, busy))
            if network.error is not None:
                self._run_of(network).worker.close()  # its memory is needed for the processes to come

    def _finish_settled(self, networks: Sequence[NetworkState]) -> None:
        """End the timing of networks that have no rank, or whose times are far from all others that have one."""
        protocol = self._plan.protocol
        going_on = [one for one in networks if one.error is None and one.processes_left]
        if protocol.fixed_processes or not going_on:
            return
        is_settled = self._settled([one for one in networks if one.error is None])
        for network in going_on:
            processes = network.process + 1
            # Seen frames and noise may be left to a later process, after a resumption.
            is_probed = not network.is_ranked or network.probed_process < processes
            is_enough = processes >= protocol.fewest_processes
            if is_enough and is_probed and is_settled.get(network.slug, not network.is_ranked):
                network.processes = processes
                self._progress.timing(network.slug, network.process, processes, 1.0)

    def _settled(self, networks: Sequence[NetworkState]) -> dict[str, bool]:
        """Return which networks with a rank that were timed in rounds are far from all others that have one."""
        records = [(one, record) for one in networks if (record := one.record) is not None and record.rounds]
        ranked = [(one.slug, relative_times(record)) for one, record in records if one.is_ranked]
        known = [(relative_times(record), is_ranked) for record, is_ranked in self._known if record.rounds]
        others = [times for times, is_ranked in known if is_ranked]
        unranked = [times for times, is_ranked in known if not is_ranked]
        unranked += [relative_times(record) for one, record in records if not one.is_ranked]
        found = settled([times for _, times in ranked], others, unranked)
        return {slug: is_settled for (slug, _), is_settled in zip(ranked, found, strict=True)}

    def _run_rounds(self, networks: Sequence[NetworkState], gpu: Card) -> str:
        """Time one process of each network, and return the name of the anchor's process."""
        device, name = self._plan.device, ""
        settings = RoundSettings(
            self._plan.protocol,
            self._plan.track.scale,
            threads=device.threads if device.kind == "cpu" else None,
            first_round=self._next_round,
            gpu=gpu,
            energy=energy_meter(device.kind),
            begin_s=self._begin_s,
        )
        try:
            # Opened anew for each process of the networks, because it may have been lost in the one before.
            anchor, name = self._open_anchor()
            state = NetworkState("anchor", ProcessTiming(anchor))
            rounds = Rounds(networks, state, self._frames, settings, self._report, self._discard)
            rounds.run()
            # Not reached if the anchor is lost, and then nothing more is timed in rounds.
            self._next_round = rounds.next_round
        except AnchorLostError as error:
            self.anchor_error = error.reason
        except WorkerError as error:  # it could not be started
            self.anchor_error = error
        return name

    def _report(self, network: NetworkState, done: float) -> None:
        """Report the share of a network's current process that is done."""
        # How many processes a network gets depends on how long a call takes, which is known after its warm-up.
        is_known = network.current.is_warm or network.process > 0
        processes = network.processes if is_known else self._plan.protocol.processes
        # Nor is the share: a first call that takes minutes would count as one of many processes.
        self._progress.timing(network.slug, network.process, processes, done if is_known else 0.0)

    def _save_all(self, networks: Sequence[NetworkState]) -> None:
        """Save what was timed so far, of networks that continue and of those that are finished."""
        for network in networks:
            record, left = network.record, network.processes_left
            if record is not None and network.error is None:
                remaining_work = RemainingWork(processes=left, next_round=self._next_round) if left else None
                self._save(self._run_of(network), record.model_copy(update={"remaining_work": remaining_work}))

    def _restart(self, networks: Sequence[NetworkState]) -> None:
        """Start the next process of each network."""
        runs = [self._run_of(network) for network in networks]
        for network, run in zip(networks, runs, strict=True):
            # All are closed before any is started, so that two processes of one network never share the memory.
            run.worker.close()
            run.worker.process = network.process + 1
        # Workers may be started in advance again, because nothing is timed until all have restarted.
        self._engine.release()
        self._engine.expect(run.worker.job() for run in runs)
        for network, run in zip(networks, runs, strict=True):
            self._progress.stage(network.slug, "start")
            try:
                worker = run.worker.restart(self._engine)
                worker.pause()
                network.start_process(worker)
            except Exception as error:
                if concerns_the_run(error):
                    raise
                network.error = worker_error(error, "time")
                run.worker.close()
                self._discard(network)
        self._engine.hold()

    def _discard(self, network: NetworkState) -> None:
        """Discard the saved timing of a network that failed, so that a run that is resumed cannot miss the failure."""
        self._save(self._run_of(network), None)

    def _note_anchor_failure(self, network: NetworkState, anchor_error: WorkerError) -> None:
        """Say in a network's state, or in the note of its timing, what is missing because the anchor failed."""
        record = network.record
        if record is None:
            network.anchor_error = anchor_error
            return
        # A network of one call has no rounds, and lacks nothing.
        timed = len({turn.process for turn in record.rounds})
        if 0 < timed < network.processes:
            note = (
                f"{timed} of {network.processes} processes timed, because the harness's anchor network failed "
                f"({anchor_error.what})"
            )
            last = network.records[-1]
            network.records[-1] = last.model_copy(update={"note": "; ".join(filter(None, [last.note, note]))})


def _state_of(run: SubmissionRun) -> NetworkState:
    planned = run.planned
    return NetworkState(
        run.slug,
        ProcessTiming(run.worker.running, run.worker.heap_has_grown),
        is_ranked=planned.submission.kind == "submission",
        takes_any_size=not BACKENDS.get(planned.backend).builds,
    )
