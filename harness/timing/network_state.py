"""What is known of one network while it is timed in rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.errors import WorkerError
from harness.results.measurement import RoundTimes, TimingRecord
from harness.results.record import Statistic
from harness.statistics.runtime_summary import joined
from harness.timing.checks import Request
from harness.timing.frames import Image, Variation
from harness.timing.output_check import OutputCheck, OutputSample, Upscaled
from harness.timing.strips import Strips
from harness.timing.timed_parts import TimedPart
from harness.timing.timed_worker import TimedWorker


@dataclass(slots=True)
class ProcessChecks:
    """What the checks of one process of a network collect.

    Attributes
    ----------
    requests
        Timing requests so far, for the comparison of clocks.
    alarms
        Number of calls in which two clocks of the worker disagree.
    cpu_s
        Processor time of the worker during its requests, seconds; 0 if unknown.
    cpu_wall_s
        Time in which it was used, by the controller's clock, seconds.
    outputs
        Compares timed outputs with untimed ones; None until the first comparison.
    output_checks
        Number of such comparisons so far, or that are not necessary.
    postponed
        Timed outputs that are compared when the last turn is over.
    strips
        Parts of the outputs of the last burst, call by call.
    variations
        How the frames of these calls were varied.
    expected
        Output of the next turn's first call, if the network was asked for that before.
    """

    requests: list[Request] = field(default_factory=list)
    alarms: int = 0
    cpu_s: float = 0.0
    cpu_wall_s: float = 0.0
    outputs: OutputCheck | None = None
    output_checks: int = 0
    postponed: list[OutputSample] = field(default_factory=list)
    strips: Sequence[Strips] = ()
    variations: Sequence[Variation | None] = ()
    expected: Image | None = None

    @property
    def last_output(self) -> OutputSample | None:
        """Parts of the last timed output that was compared; None if there is none."""
        return None if self.outputs is None else self.outputs.last


@dataclass(slots=True)
class ProcessTiming:
    """Timing of one process of a network; it grows with each turn.

    A `TimingRecord` is immutable and covers all processes of a network, so the calls of the current process are
    collected here until :meth:`record` turns them into one.

    Attributes
    ----------
    worker
        The process.
    heap_has_grown
        Whether it has the memory of its calls before the first, which is then hardly slower.
    clock
        What the worker reads times from.
    warmup, samples
        Calls: seconds since the timing began, milliseconds.
    rounds
        Turns of the network, in order.
    spent_s
        Time that counts against the budget, seconds: the network's turns and the anchor's after each.
    note
        What a reader must know about the samples.
    is_warm
        Whether the warm-up is finished.
    is_slow
        Whether a call takes so much of the budget that checks which need calls of their own are skipped.
    is_done
        Whether nothing more is timed in this process.
    checks
        What the checks of this process collect.
    """

    worker: TimedWorker
    heap_has_grown: bool = False
    clock: str = ""
    warmup: list[tuple[float, float]] = field(default_factory=list)
    samples: list[tuple[float, float]] = field(default_factory=list)
    rounds: list[RoundTimes] = field(default_factory=list)
    spent_s: float = 0.0
    note: str | None = None
    is_warm: bool = False
    is_slow: bool = False
    is_done: bool = False
    checks: ProcessChecks = field(default_factory=ProcessChecks)

    def record(
        self, turn_statistic: Statistic, session: str = "", anchor: str = "", busy: float | None = None
    ) -> TimingRecord:
        """Return the timing as it is stored.

        Parameters
        ----------
        turn_statistic
            How the calls of one turn are summarised.
        session, anchor, busy
            As in :class:`harness.results.measurement.TimingRecord`.
        """
        return TimingRecord(
            clock=self.clock,
            warmup=self.warmup,
            samples=self.samples,
            rounds=self.rounds,
            turn_statistic=turn_statistic,
            session=session,
            anchor=anchor,
            busy=busy,
            note=self.note,
        )


@dataclass(slots=True)
class NetworkState:
    """One network of an interleaved timing, over all its processes.

    Attributes
    ----------
    slug
        Which submission; ``anchor`` for the anchor network.
    current
        Timing of the current process.
    process
        Number of the current process, from 0.
    is_ranked
        Whether the network gets a rank; baselines do not.
    takes_any_size
        Whether frames of any size can be upscaled at once. Some backends build for each size.
    processes
        Number of processes in which the network is timed. It is decided when the first process is warm, and lowered
        between two processes if no more are needed.
    probed_process
        The process in which seen frames and noise are timed. It is drawn when the first process is warm.
    reference
        A frame and its image, made by the network's first process at its end, or by the first one since the timing was
        continued. Every later process gets this frame first and last, and must make the same image of it.
    timed_parts
        Parts of timed outputs, one of a turn, for the comparison with HR images.
    records
        Timings of finished processes, in order, without those that have no samples.
    error
        Why the network's timing ended early; None if it did not.
    anchor_error
        Why the anchor network failed, if that happened before this network had any finished process.
    """

    slug: str
    current: ProcessTiming
    is_ranked: bool = True
    takes_any_size: bool = True
    process: int = 0
    processes: int = 1
    probed_process: int = 0
    reference: Upscaled | None = None
    timed_parts: list[TimedPart] = field(default_factory=list)
    records: list[TimingRecord] = field(default_factory=list)
    error: WorkerError | None = None
    anchor_error: WorkerError | None = None

    @property
    def record(self) -> TimingRecord | None:
        """All finished processes as one record; None if there are none."""
        return joined(self.records) if self.records else None

    @property
    def processes_left(self) -> int:
        """Number of processes after the current one."""
        return self.processes - self.process - 1

    def share_of(self, number: int) -> int:
        """Return one process's share of a number that is given for the whole network, rounded up."""
        return math.ceil(number / self.processes)

    def start_process(self, worker: TimedWorker) -> None:
        """Continue with a new process of the network, of which nothing is known yet."""
        self.process += 1
        self.current = ProcessTiming(worker)
