"""Networks timed in turns: anchor A anchor B anchor C anchor, then backwards, until each is known well enough.

Drift of the machine then hits all alike, and the ratio to the anchor network beside each turn takes it out.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import WorkerError
from harness.machine.gpu_state import GpuMonitor
from harness.results.measurement import RoundTimes
from harness.statistics.runtime_summary import interval_is_narrow, round_ratios, turn_ms
from harness.timing.checks import (
    OutputCheck,
    Request,
    alarms_note,
    check_alarms,
    check_clocks,
    check_idle,
    check_noise,
    check_processor_time,
    check_seen_frame,
)
from harness.timing.confirmation import Cost, cost_of_call
from harness.timing.contender import Contender, Image
from harness.timing.frames import FrameSource, frame_of_call
from harness.timing.protocol import TimingProtocol

_COLD = 2.0  # times slower than later ones a first call may be: it loads code and touches its memory first
_HOPELESS = 4.0  # times the budget: no second call would be so much faster that there were time for rounds
_OVERRUN = 2.0  # times the budget, beyond which not even the fewest rounds are waited for
_SLOW_SHARE = 1 / 3  # of the budget: a call so long is not repeated for checks that the last one can serve
_WARMUP_SHARE = 0.2  # of the budget: beyond it, samples are worth more than a warmer start
_SETTLED = 0.05
_SETTLED_CALLS = 4
_TURN_S = 0.1  # several time slices of a scheduler: what runs beside is then in all turns alike
_MOST_CALLS = 50  # in a turn
_ANCHOR_TURN_S = 0.5 * _TURN_S  # there are two of it to one of a network
_LOOK_EVERY = 4  # rounds between two looks at the intervals
_ANCHOR_KEPT = 0.25
_CHECK_CHANCE = 0.15  # of a round to be checked afterwards
_MOST_CHECKS = 3  # of a network that has one process; several share them
_LEAST_CHECKS = 2  # of a process
_ROUNDS_EACH = 6  # that the budget must leave to a process: else a network is timed in fewer
_LOOKS, _QUICK_MS = 3, 30.0  # looks at what may be too fast, and how long a call may be to have several
_CALLS_BESIDE = 4  # of a process, to warm up and to be probed
_FIRST_ROUNDS = 3  # in one of which a frame is timed that the network upscaled before


class AnchorLostError(Exception):
    """The anchor network cannot be timed any more, so no network's time can be related to it.

    Attributes
    ----------
    reason
        What ended it.
    """

    def __init__(self, reason: WorkerError) -> None:
        super().__init__(reason.what)
        self.reason = reason


@dataclass(slots=True)
class _Turn:
    """Which round, on which frame, and the anchor's milliseconds on either side, 0 until it was timed."""

    number: int
    frame: Image
    before: float
    after: float = 0.0


class Rounds:
    """One joint timing.

    Parameters
    ----------
    contenders
        Networks that are loaded and wait.
    anchor
        The network that all are compared with; it is the harness's own.
    frames
        Gives frames of the timed size.
    protocol
        Budget, warm-up, stopping rule.
    scale
        Upscaling factor.
    tell
        Hears the name of the network whose turn it is, and the share of the work that is done.
    session
        A name that no other joint timing has; drawn where none is given.
    threads
        How many a network may use on the CPU; None where it may use any number.
    card
        Reads the accelerator after each turn.
    first
        Number of the first round: rounds of one session have different numbers.
    begin
        When the session began, by the monotonic clock, seconds; now by default.
    failed
        Hears of a network at the moment in which it fails.
    """

    def __init__(
        self,
        contenders: Sequence[Contender],
        anchor: Contender,
        frames: FrameSource,
        protocol: TimingProtocol,
        scale: int,
        tell: Callable[[str, float], None] = lambda _name, _done: None,
        session: str = "",
        threads: int | None = None,
        card: GpuMonitor | None = None,
        first: int = 0,
        begin: float | None = None,
        failed: Callable[[Contender], None] = lambda _contender: None,
    ) -> None:
        self._card = card or GpuMonitor("cpu")
        self.contenders = list(contenders)
        self.anchor = anchor
        self.frames = frames
        self.protocol = protocol
        self.scale = scale
        self._threads = threads
        self.session = session or secrets.token_hex(8)
        self._tell = tell
        self._failed = failed
        self._begin = time.monotonic() if begin is None else begin
        self.number = first
        self._budget_s = math.inf if protocol.budget_s is None else protocol.budget_s
        self._requests: dict[int, list[Request]] = {id(c): [] for c in [*self.contenders, anchor]}
        for contender in self.contenders:
            contender.turn_statistic = protocol.turn_statistic
        self._alarms = dict.fromkeys(self._requests, 0)
        self._checks = {id(c): self._output_check(c) for c in self.contenders}
        self._checked = dict.fromkeys(self._requests, 0)
        self._seen_ms: dict[int, float] = {}
        self._noise_ms: dict[int, float] = {}
        self._seen_round: dict[int, int] = {}

    def run(self) -> None:
        """Time all; what becomes of each is in its contender, errors included.

        Raises
        ------
        AnchorLostError
            The anchor itself cannot be timed; contenders that were done by then keep what they have.
        """
        self._warm_up(self.anchor)
        for contender in self.contenders:
            self._tell(contender.name, self._share_done())
            self._guarded(contender, self._warm_up)
        while self._active():
            self._round(self.number)
            self.number += 1

    def _active(self) -> list[Contender]:
        return [contender for contender in self.contenders if not contender.done]

    def _guarded(self, contender: Contender, step: Callable[[Contender], None]) -> None:
        """Take a step; whatever fails in it ends this contender alone."""
        try:
            step(contender)
        except WorkerError as error:
            contender.error = error
            contender.done = True
            contender.worker.pause()  # a check may have woken it
            self._failed(contender)

    def _warm_up(self, contender: Contender) -> None:
        """Call until the later half of the calls agrees with the earlier."""
        frame = self.frames.fresh()
        times = self._warming_call(contender, frame)
        self._forgive_start(contender)
        if self._outlasts(times[0], _COLD) and not self._outlasts(times[0], _HOPELESS):
            times += self._warming_call(contender, frame)
        if self._outlasts(times[-1], _COLD) and contender.process == 0:  # a later one has rounds beside the first
            self._keep_one_call(contender)
            return
        if contender is not self.anchor:
            self._checks[id(contender)].remember_first(frame)
        while not self._warm(contender, times):
            times += self._warming_call(contender, self.frames.fresh())
        contender.slow = self._outlasts(min(times), _SLOW_SHARE)
        if contender.process == 0:
            contender.processes = self._processes_for(min(times) / 1e3)
            contender.probed = int(self.frames.rng.integers(contender.processes))
        if contender.slow:
            self._checked[id(contender)] = self._checks_for(contender) - 1
        elif contender.process == contender.probed:
            early = min(_FIRST_ROUNDS, self._share(contender, self.protocol.min_repeats))
            self._seen_round[id(contender)] = self.number + int(self.frames.rng.integers(early))

    def _forgive_start(self, contender: Contender) -> None:
        """Leave a process's first call out of its account: it may load libraries and touches all its memory first."""
        contender.spent_s = contender.cpu_s = 0.0
        self._requests[id(contender)].clear()
        self._alarms[id(contender)] = 0

    def _processes_for(self, call_s: float) -> int:
        """Return in how many processes a network is timed: no more than leave several rounds to each.

        Warming up and the frames that it is probed with take calls from the same budget.
        """
        anchor_s = min((ms for _, ms in self.anchor.warmup), default=0.0) / 1e3
        round_s = max(call_s, _TURN_S) + max(anchor_s, _ANCHOR_TURN_S)
        process_s = _ROUNDS_EACH * round_s + _CALLS_BESIDE * call_s
        return int(max(1, min(self.protocol.processes, self._budget_s / process_s)))

    def _share(self, contender: Contender, number: int) -> int:
        """Return a process's part of a number that is for the whole network."""
        return math.ceil(number / contender.processes)

    def _checks_for(self, contender: Contender) -> int:
        """Return how many outputs of a process are checked: one at the end, and one before it that nobody foresees."""
        return max(_LEAST_CHECKS, self._share(contender, _MOST_CHECKS))

    def _share_s(self, contender: Contender) -> float:
        return self._budget_s / contender.processes

    def _outlasts(self, call_ms: float, times: float) -> bool:
        return call_ms / 1e3 >= times * self._budget_s

    def _keep_one_call(self, contender: Contender) -> None:
        """Take the last call so far for the only one that is timed."""
        *contender.warmup, only = contender.warmup
        contender.samples, contender.done, contender.slow = [only], True, True
        warmed = f"{len(contender.warmup)} to warm up" if contender.warmup else "not warmed up"
        contender.note = f"one call, {warmed}: it outlasts the budget of {self._budget_s:g} s"

    def _warm(self, contender: Contender, times: list[float]) -> bool:
        if len(times) == 1 and not self._outlasts(times[0], 1.0):  # a cold call says nothing of the next one
            return False
        if len(times) >= self.protocol.warmup or contender.spent_s >= _WARMUP_SHARE * self._share_s(contender):
            return True
        half = len(times) // 2
        if len(times) < _SETTLED_CALLS:
            return False
        return abs(float(np.median(times[half:])) / float(np.median(times[:half])) - 1) < _SETTLED

    def _round(self, number: int) -> None:
        """Give every active network a turn, in rising order in even rounds and in falling order in odd ones."""
        active = self._active()
        frame = self.frames.fresh()
        before = self._anchor_ms(frame)
        for contender in active if number % 2 == 0 else reversed(active):
            self._tell(contender.name, self._share_done())
            turn = _Turn(number, frame, before)
            self._guarded(contender, lambda c, turn=turn: self._turn(c, turn))  # type: ignore[misc]
            before = turn.after or self._anchor_ms(frame)

    def _turn(self, contender: Contender, turn: _Turn) -> None:
        if self._seen_round.get(id(contender)) == turn.number:
            self._time_a_seen_frame(contender)
            self._time_noise(contender)
        # Of random length, so that nobody knows which call is the last: that one's output may be asked for.
        length_s = _TURN_S * self.frames.rng.uniform(0.5, 1.5)
        calls = self._burst(contender, turn.frame, length_s)
        card = self._card.read()
        last = frame_of_call([turn.frame], len(calls) - 1)
        self._check_sometimes(contender, last)
        spent_before_s = self.anchor.spent_s
        turn.after = self._anchor_ms(turn.frame)
        contender.spent_s += self.anchor.spent_s - spent_before_s
        anchors = (turn.before, turn.after)
        contender.samples += calls
        contender.rounds.append(
            RoundTimes(number=turn.number, calls=len(calls), process=contender.process, anchor_ms=anchors, card=card)
        )
        if self._enough(contender):
            self._finish(contender, last)

    def _anchor_ms(self, frame: Image) -> float:
        calls = self._burst(self.anchor, frame, _ANCHOR_TURN_S)
        return turn_ms([ms for _, ms in calls], self.protocol.turn_statistic)

    def _warming_call(self, contender: Contender, frame: Image) -> list[float]:
        calls = self._burst(contender, frame)
        contender.warmup += calls
        return [ms for _, ms in calls]

    def _burst(self, contender: Contender, frame: Image, length_s: float | None = None) -> list[tuple[float, float]]:
        """Time passes in a row for about `length_s` seconds, one at the least; one alone without it.

        Returned are seconds since the session began, and milliseconds.
        """
        calls = _MOST_CALLS if length_s else 1
        used, begin_s = self._cpu_s(contender), time.monotonic() - self._begin
        try:
            # The anchor's output is never asked for; a few are kept all the same, to know what that takes.
            keep = contender is not self.anchor or length_s is None or self.frames.rng.random() < _ANCHOR_KEPT
            reply = contender.worker.time([frame], 0, calls, 1, length_s, keep=keep)
        except WorkerError as error:
            if contender is self.anchor:
                raise AnchorLostError(error) from error
            raise
        contender.worker.pause()
        times = list(reply.samples_ms)
        at_s = [begin_s + min(at, reply.wall_s) for at in reply.at_s]
        contender.cpu_s += self._cpu_s(contender) - used
        contender.clock = reply.clock
        contender.spent_s += reply.wall_s
        self._alarms[id(contender)] += reply.alarms
        if keep:
            request = Request(len(times), sum(times), reply.wall_s * 1e3, is_scored=length_s is not None)
            self._requests[id(contender)].append(request)
        return list(zip(at_s, times, strict=True))

    def _cpu_s(self, contender: Contender) -> float:
        if contender is self.anchor or self._threads is None:
            return 0.0
        return contender.worker.cpu_s() or 0.0

    def _enough(self, contender: Contender) -> bool:
        rounds = len(contender.rounds)
        if rounds >= self._share(contender, self.protocol.repeats):
            return True
        if rounds < self._share(contender, self.protocol.min_repeats):
            probed = id(contender) in self._seen_ms or id(contender) not in self._seen_round
            return probed and contender.spent_s >= _OVERRUN * self._share_s(contender)
        if contender.spent_s >= self._share_s(contender):
            return True
        if rounds % _LOOK_EVERY:
            return False
        record = contender.record(self.session)
        return interval_is_narrow(round_ratios(record).values, self.protocol.half_width)

    def _finish(self, contender: Contender, last: Image) -> None:
        """Judge the whole of a network's turns."""
        contender.done = True
        if self._checked[id(contender)] < self._checks_for(contender):
            self._check(contender, last)
        if not contender.slow:
            if contender.process == contender.probed:
                self._checks[id(contender)].check_first()
            self._compare_processes(contender)
        calls = sum(request.calls for request in self._requests[id(contender)])
        contender.note = alarms_note(self._alarms[id(contender)], calls) or contender.note
        check_alarms(self._alarms[id(contender)], calls)
        check_clocks(self._requests[id(contender)], self._requests[id(self.anchor)])
        times = [ms for _, ms in contender.samples]
        if id(contender) in self._seen_ms:
            check_seen_frame(self._seen_ms[id(contender)], times, lambda: self._seen_and_fresh(contender))
        if id(contender) in self._noise_ms:
            check_noise(self._noise_ms[id(contender)], times, lambda: self._noise_and_fresh(contender))
        wall_s = sum(request.wall_ms for request in self._requests[id(contender)]) / 1e3
        check_processor_time(contender.cpu_s, wall_s, self._threads)
        check_idle(contender.worker)

    def _compare_processes(self, contender: Contender) -> None:
        """Hold what this process makes of a frame against what the network's first process made of it."""
        check = self._checks[id(contender)]
        if contender.shown is not None:
            check.check_shown(contender.shown)
        elif contender.processes > 1:
            contender.shown = check.show(self.frames.fresh())

    def _output_check(self, contender: Contender) -> OutputCheck:
        return OutputCheck(contender.worker, self.scale, self.protocol.precision, self.frames.rng)

    def _check_sometimes(self, contender: Contender, frame: Image) -> None:
        if self._checked[id(contender)] < self._checks_for(contender) - 1 and self.frames.rng.random() < _CHECK_CHANCE:
            self._check(contender, frame)

    def _check(self, contender: Contender, frame: Image, untimed: Image | None = None) -> None:
        self._checked[id(contender)] += 1
        self._checks[id(contender)].check(frame, untimed)
        contender.timed = self._checks[id(contender)].last
        contender.worker.pause()

    def _time_a_seen_frame(self, contender: Contender) -> None:
        """Time frames that the network has upscaled already: the outputs must agree, the times too."""
        times = []
        for _ in range(self._looks(contender)):
            frame = self.frames.fresh()
            untimed = contender.worker.upscale(frame)
            times.append(self._one_ms(contender, frame))
            self._checks[id(contender)].check(frame, untimed)
        self._seen_ms[id(contender)] = min(times)

    def _looks(self, contender: Contender) -> int:
        """Return how often to look at what may be too fast: a stall of the machine hides more of a quick call."""
        return 1 if min(ms for _, ms in contender.warmup) > _QUICK_MS else _LOOKS

    def _time_noise(self, contender: Contender) -> None:
        """Time frames of noise: what a network saves on them, it would save on no image."""
        self._noise_ms[id(contender)] = min(
            self._one_ms(contender, self.frames.noise()) for _ in range(self._looks(contender))
        )

    def _one_ms(self, contender: Contender, frame: Image) -> float:
        ((_, ms),) = self._burst(contender, frame)
        return ms

    def _seen_and_fresh(self, contender: Contender) -> tuple[Cost, Cost]:
        frame = self.frames.fresh()
        contender.worker.upscale(frame)
        return self._cost(contender, frame), self._cost(contender, self.frames.fresh())

    def _noise_and_fresh(self, contender: Contender) -> tuple[Cost, Cost]:
        return self._cost(contender, self.frames.noise()), self._cost(contender, self.frames.fresh())

    def _cost(self, contender: Contender, frame: Image) -> Cost:
        return cost_of_call(contender.worker, frame, on_cpu=self._threads is not None)

    def _share_done(self) -> float:
        shares = [1.0 if c.done else min(1.0, c.spent_s / self._share_s(c)) for c in self.contenders]
        return sum(shares) / len(shares)
