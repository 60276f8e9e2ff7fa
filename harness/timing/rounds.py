"""Time networks in turns beside an anchor network, until the time of each is known well enough.

The anchor is timed between any two networks: anchor A anchor B anchor C anchor, and then backwards. A change of the
machine's speed affects neighbouring turns alike, so it cancels in the ratio of a network's time to the anchor's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from harness.errors import WorkerError
from harness.faults import concerns_the_run, worker_error
from harness.results.measurement import RoundTimes
from harness.statistics.runtime_summary import interval_is_narrow, round_ratios
from harness.timing.bursts import AnchorLostError, BurstTimer
from harness.timing.checks import are_doubtful
from harness.timing.frames import FrameSource, Image, Origin
from harness.timing.idle_check import check_idle, seem_busy
from harness.timing.network_state import NetworkState
from harness.timing.round_checks import RoundChecks
from harness.timing.round_settings import RoundSettings
from harness.timing.warm_up import WarmUp

_MAX_OVERRUN = 2.0  # budgets of a process, after which even the smallest number of rounds is not waited for
_ROUNDS_BETWEEN_INTERVALS = 4  # the interval takes time to compute
# In which a process whose reported times seem too short may show that something delayed it. An odd number, because
# half of the rounds decide nothing.
_ROUNDS_TO_JUDGE = 13
_TIME_TO_JUDGE = 4.0  # budgets of a process, at least _SECONDS_TO_JUDGE, after which it is judged in any case
_SECONDS_TO_JUDGE = 10.0

_T = TypeVar("_T")


class Rounds:
    """Time one process of each of several networks.

    Parameters
    ----------
    networks
        Networks that are loaded and stopped. Their states grow with each round.
    anchor
        The harness's own network, with which all are compared.
    frames
        Generates frames of the timed size.
    settings
        Protocol, scale, threads, clock.
    on_progress
        Called with a network and the share of its current process's timing that is done, 0 to 1: before each of its
        turns and at the end of its process.
    on_failure
        Called with a network at the moment when it fails.
    """

    def __init__(
        self,
        networks: Sequence[NetworkState],
        anchor: NetworkState,
        frames: FrameSource,
        settings: RoundSettings,
        on_progress: Callable[[NetworkState, float], None] = lambda _network, _done: None,
        on_failure: Callable[[NetworkState], None] = lambda _network: None,
    ) -> None:
        self._networks = list(networks)
        self._anchor = anchor
        self._frames = frames
        self._settings = settings
        self._on_progress = on_progress
        self._on_failure = on_failure
        self._timer = BurstTimer(anchor, settings)
        self._checks = RoundChecks(self._timer, frames, settings)
        self._warm_up = WarmUp(self._timer, frames, settings, self._checks, self._report)

        self.next_round = settings.first_round
        """Number of the next round."""

    def run(self) -> None:
        """Time all networks. The error of a network that fails is in its state, and the others continue.

        Raises
        ------
        AnchorLostError
            The anchor failed. Networks whose process was done by then keep their times.
        """
        try:
            self._warm_up.run(self._anchor)
            for network in self._networks:
                self._guarded(network, partial(self._start, network))
            while self._active():
                self._round()
                self.next_round += 1
        except AnchorLostError:
            self._check_idle()
            raise
        self._check_idle()

    def _check_idle(self) -> None:
        """Check that no worker that was timed uses the processor while it waits; all at once, because it takes time."""
        clock, sleep = self._settings.clock, self._settings.sleep
        timed = [network for network in self._networks if network.error is None and network.current.is_done]
        try:
            busy = seem_busy([network.current.worker for network in timed], clock, sleep)
        except WorkerError:  # of one of them; which one, its own check tells
            busy = [True] * len(timed)
        for network, is_busy in zip(timed, busy, strict=True):
            if is_busy:
                self._guarded(network, partial(check_idle, network.current.worker, clock, sleep))

    def _active(self) -> list[NetworkState]:
        return [network for network in self._networks if not network.current.is_done]

    def _guarded(self, network: NetworkState, step: Callable[[], _T]) -> _T | None:
        """Return the result of a step; None if it failed, which ends the timing of this network only."""
        try:
            return step()
        except AnchorLostError:
            raise
        except Exception as error:
            if concerns_the_run(error):
                raise
            network.error = worker_error(error, "time")
            network.current.is_done = True
            network.current.worker.pause()  # the step may have failed in the middle of a request
            self._on_failure(network)
            return None

    def _report(self, network: NetworkState) -> None:
        self._on_progress(network, self._settings.share_done(network))

    def _start(self, network: NetworkState) -> None:
        self._warm_up.run(network)
        if network.current.is_done:
            self._report(network)

    def _round(self) -> None:
        """Give every active network a turn, in the given order in even rounds and backwards in odd ones."""
        active = self._active()
        frame, origin = self._frames.drawn()
        before_ms = self._timer.anchor_turn_ms(frame)
        # The order alternates, so that no network always follows the same one.
        for network in active if self.next_round % 2 == 0 else reversed(active):
            self._report(network)
            after_ms = self._guarded(network, partial(self._turn, network, frame, origin, before_ms))
            # A turn that fails ends before the anchor's.
            before_ms = self._timer.anchor_turn_ms(frame) if after_ms is None else after_ms

    def _turn(self, network: NetworkState, frame: Image, origin: Origin, before_ms: float) -> float:
        """Time one turn of a network and the anchor's turn after it; return the latter, milliseconds a call."""
        process, settings = network.current, self._settings
        self._checks.before_turn(network, frame)
        # The length is random, so that a submission cannot foresee which calls a turn has.
        length_s = settings.protocol.turn_s * self._frames.rng.uniform(0.5, 1.5)
        before_j = settings.energy.read()
        calls = self._timer.burst(network, frame, length_s)
        energy_j = _increase(before_j, settings.energy.read())
        card = settings.gpu.read()
        self._checks.keep_parts(network, origin)
        self._checks.after_turn(network, frame)
        # The fastest call, because load can only slow a call down.
        self._notice_speed(network, min(ms for _, ms in calls))
        spent_before_s = self._anchor.current.spent_s
        after_ms = self._timer.anchor_turn_ms(frame)
        # The anchor's turn is made for this network, so it counts against its budget.
        process.spent_s += self._anchor.current.spent_s - spent_before_s
        process.samples += calls
        process.rounds.append(
            RoundTimes(
                number=self.next_round,
                calls=len(calls),
                process=network.process,
                anchor_ms=(before_ms, after_ms),
                card=card,
                energy_j=energy_j,
            )
        )
        if self._is_known_well_enough(network) and not self._is_to_be_judged(network):
            # Guarded on its own: if a check fails, the anchor's time is still returned for the next network.
            self._guarded(network, partial(self._finish, network, frame))
        return after_ms

    def _is_known_well_enough(self, network: NetworkState) -> bool:
        """Return whether a process needs no further round: its interval is narrow, or its budget is spent."""
        process, protocol = network.current, self._settings.protocol
        rounds, budget_s = len(process.rounds), self._settings.process_budget_s(network)
        if rounds >= network.share_of(protocol.repeats):
            return True
        if rounds < network.share_of(protocol.min_repeats):
            return process.spent_s >= _MAX_OVERRUN * budget_s
        if process.spent_s >= budget_s:
            return True
        if rounds % _ROUNDS_BETWEEN_INTERVALS:
            return False
        ratios = round_ratios(process.record(protocol.turn_statistic))
        return interval_is_narrow(ratios.values, protocol.half_width)

    def _is_to_be_judged(self, network: NetworkState) -> bool:
        """Return whether a process that may be disqualified for the times that it reports gets further rounds.

        Load can delay most of a few requests. The further rounds are like all others and are scored. They end when
        fewer than half of the requests are suspicious, so that no forged time is the median.
        """
        process = network.current
        limit_s = max(_TIME_TO_JUDGE * self._settings.process_budget_s(network), _SECONDS_TO_JUDGE)
        if len(process.rounds) >= _ROUNDS_TO_JUDGE or process.spent_s >= limit_s:
            return False
        return are_doubtful(process.checks.requests, self._anchor.current.checks.requests)

    def _notice_speed(self, network: NetworkState, call_ms: float) -> None:
        """Time and check a network that seemed slow like any other, once a call shows that it is not."""
        if network.current.is_slow and not self._settings.protocol.is_slow(call_ms):
            self._warm_up.decide(network, call_ms)

    def _finish(self, network: NetworkState, frame: Image) -> None:
        network.current.is_done = True
        self._checks.finish(network, frame)
        self._report(network)


def _increase(before: float | None, after: float | None) -> float | None:
    """Return the difference of two readings; None if one is unknown."""
    return None if before is None or after is None else after - before
