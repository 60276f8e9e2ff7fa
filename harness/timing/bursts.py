"""Timed bursts: several calls of one network in a row, as the unit of warm-up, turns and checks."""

from __future__ import annotations

from harness.errors import WorkerError
from harness.statistics.runtime_summary import turn_ms
from harness.timing.checks import Request
from harness.timing.frames import Image
from harness.timing.network_state import NetworkState
from harness.timing.round_settings import RoundSettings

_MAX_CALLS = 50  # in a burst


class AnchorLostError(Exception):
    """The anchor network cannot be timed any more, so no network's time can be related to it.

    Attributes
    ----------
    reason
        The error of its worker.
    """

    def __init__(self, reason: WorkerError) -> None:
        super().__init__(reason.what)
        self.reason = reason


class BurstTimer:
    """Times bursts, and adds their time, processor time and clocks to the state of their network.

    Parameters
    ----------
    anchor
        The harness's own network, with which all others are compared.
    settings
        Protocol, threads and clock.
    """

    def __init__(self, anchor: NetworkState, settings: RoundSettings) -> None:
        self.anchor = anchor
        self._settings = settings

    def burst(self, network: NetworkState, frame: Image, length_s: float | None = None) -> list[tuple[float, float]]:
        """Time calls in a row.

        Parameters
        ----------
        network
            Which network; its current process is called, and stopped afterwards.
        frame
            Input of the first call, H x W x 3, uint8. Later calls get variations of it.
        length_s
            Seconds after which no further call begins. Without it there is one call, which is not scored.

        Returns
        -------
        list of tuple of float
            Seconds since the session began, and milliseconds.

        Raises
        ------
        AnchorLostError
            `network` is the anchor, and it failed.
        WorkerError
            Another network failed.
        """
        process = network.current
        clock = self._settings.clock
        turn_begin_s = clock()
        cpu_before_s = self._cpu_s(network)
        begin_s = clock() - self._settings.begin_s
        try:
            reply = process.worker.time([frame], 0, _MAX_CALLS if length_s else 1, 1, length_s)
        except WorkerError as error:
            if network is self.anchor:
                raise AnchorLostError(error) from error
            raise
        # Stopped before its processor time is read, so that work which continues after the reply is counted.
        process.worker.pause()
        times = list(reply.samples_ms)
        process.checks.cpu_s += self._cpu_s(network) - cpu_before_s
        process.checks.cpu_wall_s += clock() - turn_begin_s
        process.checks.alarms += reply.alarms
        process.checks.strips, process.checks.variations = reply.strips, reply.variations
        process.clock = reply.clock
        process.spent_s += reply.wall_s
        process.checks.requests.append(Request.from_reply(reply, is_scored=length_s is not None))
        # The worker could report any time: no call is later than the end of its request.
        at_s = [begin_s + min(at, reply.wall_s) for at in reply.at_s]
        return list(zip(at_s, times, strict=True))

    def call_ms(self, network: NetworkState, frame: Image) -> float:
        """Time one call that is not scored, milliseconds."""
        ((_, ms),) = self.burst(network, frame)
        return ms

    def anchor_turn_ms(self, frame: Image) -> float:
        """Time a turn of the anchor, milliseconds a call."""
        protocol = self._settings.protocol
        calls = self.burst(self.anchor, frame, protocol.anchor_turn_s)
        return turn_ms([ms for _, ms in calls], protocol.turn_statistic)

    def _cpu_s(self, network: NetworkState) -> float:
        """Return the processor time of a network's worker, seconds; 0 where it is not limited or unknown."""
        if network is self.anchor or self._settings.threads is None:
            return 0.0
        return network.current.worker.cpu_s() or 0.0
