"""Warm-up of a network, and what follows from its first times: in how many processes it is timed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.errors import WorkerError
from harness.timing.bursts import BurstTimer
from harness.timing.crops import accepts_no_such_size, part_of
from harness.timing.frames import FrameSource, Image
from harness.timing.network_state import NetworkState
from harness.timing.protocol import WARMUP_SHARE
from harness.timing.round_checks import RoundChecks
from harness.timing.round_settings import RoundSettings

# A first call loads code, may compile it, and touches memory for the first time. One that takes twice the budget says
# little of the second.
_COLD_CALL = 2.0  # budgets
# A second call is spared after four times the budget, or so many seconds, if the first one was not cold.
_HOPELESS_CALL = 4.0  # budgets
_LONG_CALL_S = 10.0
# Of the time that calls for a small part of the frame foretell. Warm calls took 0.74 to 1.14 times as long.
_AS_SLOW = 1.2
_SMALL_CALLS = 2  # of which the faster counts: the first may be cold for its size
_AGREEMENT = 0.05  # between the medians of the earlier and the later half of the calls
_MIN_CALLS = 2  # after the first, before their halves are compared
_MIN_ROUNDS = 6  # for which the budget of each process must suffice; otherwise a network is timed in fewer processes
_EXTRA_CALLS = 4  # of a process, beside its rounds: warm-up, seen frames and noise


class WarmUp:
    """Warms networks up.

    Parameters
    ----------
    timer
        Times calls.
    frames
        Generates frames.
    settings
        Protocol and budget.
    checks
        Compares the output of the first call, or keeps it for a later comparison.
    on_call
        Called before each call of a network other than the anchor.
    """

    def __init__(
        self,
        timer: BurstTimer,
        frames: FrameSource,
        settings: RoundSettings,
        checks: RoundChecks,
        on_call: Callable[[NetworkState], None],
    ) -> None:
        self._timer = timer
        self._frames = frames
        self._settings = settings
        self._checks = checks
        self._on_call = on_call

    def run(self, network: NetworkState) -> None:
        """Call a network until the later half of its warm calls agrees with the earlier, and decide how it is timed.

        A network of which a warm call takes twice the budget keeps that call as its only sample.
        """
        process, (frame, origin) = network.current, self._frames.drawn()
        if network.reference is not None:
            frame = network.reference.frame
        times = [self._call(network, frame)]
        if network is not self._timer.anchor:
            self._checks.after_first_call(network, frame)
        _forget_start(network)
        if self._takes_budgets(times[0], _COLD_CALL):
            # A network that is in its second process has rounds from the first one: it is faster when it is warm.
            if network.process > 0:
                times.append(self._call(network, frame))
            else:
                image = self._call_until_warm(network, frame, times)
                if self._takes_budgets(times[-1], _COLD_CALL):
                    self._keep_one_call(network)
                    if network is not self._timer.anchor:
                        self._checks.check_only_call(network, frame, origin, image)
                    return
        while not self._is_warm(network, times):
            times.append(self._call(network, self._frames.fresh()))
        process.is_warm = True
        self.decide(network, min(times))

    def decide(self, network: NetworkState, call_ms: float) -> None:
        """Decide how a network is timed whose calls take `call_ms` milliseconds."""
        protocol = self._settings.protocol
        network.current.is_slow = protocol.is_slow(call_ms)
        if network.process == 0:
            network.processes = self._processes_for(call_ms / 1e3)
            # One of those that it has in any case.
            fewest = min(network.processes, protocol.fewest_processes)
            network.probed_process = int(self._frames.rng.integers(fewest))

    def _call(self, network: NetworkState, frame: Image) -> float:
        """Make one call, and return its time in milliseconds."""
        if network is not self._timer.anchor:
            self._on_call(network)
        calls = self._timer.burst(network, frame)
        network.current.warmup += calls
        return calls[-1][1]

    def _call_until_warm(self, network: NetworkState, frame: Image, times: list[float]) -> Image:
        """Call a network again whose first call takes budgets, if that was cold, and return the last call's output.

        Times of further calls are appended to `times`, milliseconds.
        """
        worker, first_ms = network.current.worker, times[0]
        # The output of a call is gone after the next one, and so after those for a part.
        image = worker.last_image(frame)
        is_hopeless = self._takes_budgets(first_ms, _HOPELESS_CALL)
        expected_ms = None
        if is_hopeless or first_ms / 1e3 >= _LONG_CALL_S:
            expected_ms = self._expected_ms(network, frame)
            if is_hopeless if expected_ms is None else first_ms <= _AS_SLOW * expected_ms:
                return image
        times.append(self._call(network, frame))
        # It may be cold once more, because calls of another size came before it.
        if expected_ms is not None and times[-1] > _AS_SLOW * expected_ms:
            times.append(self._call(network, frame))
        return worker.last_image(frame)

    def _expected_ms(self, network: NetworkState, frame: Image) -> float | None:
        """Return what a warm call takes, milliseconds, by untimed calls for a part of a frame; None if unknown."""
        if not network.takes_any_size:
            return None
        part, clock, times = part_of(frame), self._settings.clock, []
        for _ in range(_SMALL_CALLS):
            begin_s = clock()
            try:
                network.current.worker.upscale(part)
            except WorkerError as error:
                if not accepts_no_such_size(error):
                    raise
                return None
            finally:
                network.current.worker.pause()
            times.append(1e3 * (clock() - begin_s))
        return min(times) * frame.size / part.size

    def _is_warm(self, network: NetworkState, times: list[float]) -> bool:
        """Return whether the calls so far, in milliseconds, are enough."""
        if len(times) == 1 and network.current.heap_has_grown:
            # A second call would only show whether the first was cold, which the turns of a slow network do, too.
            return self._settings.protocol.is_slow(times[0])
        if len(times) == 1 and not self._takes_budgets(times[0], 1.0):  # the first call is cold
            return False
        if len(times) >= self._settings.protocol.warmup:
            return True
        if network.current.spent_s >= WARMUP_SHARE * self._settings.process_budget_s(network):
            return True
        # The first call counts if it did not wait for memory and the second is no faster.
        later = times if network.current.heap_has_grown and len(times) == _MIN_CALLS else times[1:]
        if len(later) < _MIN_CALLS:
            return False
        half = len(later) // 2
        return abs(float(np.median(later[half:])) / float(np.median(later[:half])) - 1) < _AGREEMENT

    def _processes_for(self, call_s: float) -> int:
        """Return in how many processes to time a network whose calls take `call_s` seconds.

        It is the protocol's number, or less if the budget would not leave several rounds to each process.
        """
        protocol = self._settings.protocol
        anchor_s = min((ms for _, ms in self._timer.anchor.current.warmup), default=0.0) / 1e3
        round_s = max(call_s, protocol.turn_s) + max(anchor_s, protocol.anchor_turn_s)
        process_s = _MIN_ROUNDS * round_s + _EXTRA_CALLS * call_s
        # Also for a network that has a share of the budget only: short processes tell how much processes differ.
        return int(max(1, min(protocol.processes, self._settings.budget_s / process_s)))

    def _takes_budgets(self, call_ms: float, budgets: float) -> bool:
        """Return whether a call takes as long as so many budgets of a network."""
        return call_ms / 1e3 >= budgets * self._settings.budget_s

    def _keep_one_call(self, network: NetworkState) -> None:
        """Make the last call the only sample of a network that is too slow for rounds."""
        process = network.current
        *process.warmup, only = process.warmup
        process.samples = [only]
        process.is_warm = process.is_slow = process.is_done = True
        warmed = f"{len(process.warmup)} to warm up" if process.warmup else "not warmed up"
        process.note = f"one call, {warmed}: it outlasts the budget of {self._settings.budget_s:g} s"


def _forget_start(network: NetworkState) -> None:
    """Remove a process's first call from its account: it may load libraries and touches all its memory first."""
    process = network.current
    process.spent_s = process.checks.cpu_s = process.checks.cpu_wall_s = 0.0
    process.checks.requests.clear()
    process.checks.alarms = 0
