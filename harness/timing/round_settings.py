"""Settings of an interleaved timing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.machine.energy import EnergyMeter, NoMeter
from harness.machine.gpu_state import Card, GpuMonitor
from harness.timing.network_state import NetworkState
from harness.timing.protocol import TimingProtocol


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """What holds for all networks that are timed together.

    Attributes
    ----------
    protocol
        Budget, warm-up and stopping rule.
    scale
        Upscaling factor.
    threads
        Number of threads that a network may use on the CPU; None for no limit, as on an accelerator.
    first_round
        Number of the first round. Rounds of one session have different numbers.
    gpu
        Reads the accelerator's state after each turn.
    energy
        Counts the energy of each turn.
    clock
        Returns the seconds of a monotonic clock.
    sleep
        Waits so many seconds of that clock.
    begin_s
        When the session began, by that clock.
    """

    protocol: TimingProtocol
    scale: int
    threads: int | None = None
    first_round: int = 0
    gpu: Card = field(default_factory=lambda: GpuMonitor("cpu"))
    energy: EnergyMeter = field(default_factory=NoMeter)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    begin_s: float = field(default_factory=time.monotonic)

    @property
    def budget_s(self) -> float:
        """Seconds for each network, in all its processes; infinite for no limit."""
        return math.inf if self.protocol.budget_s is None else self.protocol.budget_s

    def process_budget_s(self, network: NetworkState) -> float:
        """Return the seconds for one process of a network."""
        share = self.protocol.share_of_budget(is_ranked=network.is_ranked) if network.processes > 1 else 1.0
        return share * self.budget_s / network.processes

    def share_done(self, network: NetworkState) -> float:
        """Return the share of the current process's timing that is done, 0 to 1."""
        process = network.current
        return 1.0 if process.is_done else min(1.0, process.spent_s / self.process_budget_s(network))
