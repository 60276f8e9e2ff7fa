"""What a network that was timed alone must show afterwards: new frames take as long as those that were timed.

A protocol with one reused frame, or one call for each image, cannot see a result that is kept or a clock that is
forged. A few calls more can; they are not among the samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.timing.checks import (
    OutputCheck,
    Request,
    check_idle,
    check_noise,
    check_processor_time,
    check_seen_frame,
    disqualify,
    hidden_time,
)
from harness.timing.confirmation import Cost, cost_of_call
from harness.timing.contender import Image, Timed
from harness.timing.frames import FrameSource, frame_of_call

_BURSTS = 3
_CALLS = 4
_BURST_S = 0.3
_CLOCK_LOOKS = 3
_LOOKS = 3  # at what may be too fast: a busy machine can slow one down
_ROW = 7  # calls, so that the middle one is beyond the first ones, which may be slow to deceive


@dataclass(frozen=True, slots=True)
class PostTimingChecks:
    """The checks of one network.

    Attributes
    ----------
    worker
        Where it runs.
    frames
        Gives frames of the timed size.
    outputs
        Compares timed outputs with untimed ones.
    threads
        How many it may use on the CPU; None for any number.
    anchor
        The harness's own network, by whose requests the clock is judged; None where there is none.
    """

    worker: Timed
    frames: FrameSource
    outputs: OutputCheck
    threads: int | None
    anchor: Timed | None

    def check(self, samples_ms: Sequence[float], timed: Sequence[Request], reused: Image | None = None) -> None:
        """Judge a network by its timing and by the calls that follow it.

        Parameters
        ----------
        samples_ms
            What was timed.
        timed
            The requests in which it was.
        reused
            The frame, where that was one again and again.

        Raises
        ------
        WorkerError
            Of the kind `Disqualified`.
        """
        before = self.worker.cpu_s()
        fresh_ms, requests = self._time_fresh(self.worker)
        after = self.worker.cpu_s()
        if before is not None and after is not None:
            check_processor_time(after - before, sum(request.wall_ms for request in requests) / 1e3, self.threads)
        if reused is not None:
            check_seen_frame(float(np.median(samples_ms)), fresh_ms, lambda: self._in_a_row(reused))
        seen_ms = min(self._seen().ms for _ in range(_LOOKS))
        check_seen_frame(seen_ms, fresh_ms, lambda: (self._seen(), self._cost(self.frames.fresh())))
        noise = self.frames.noise
        noise_ms = min(self._cost(noise()).ms for _ in range(_LOOKS))
        check_noise(noise_ms, fresh_ms, lambda: (self._cost(noise()), self._cost(self.frames.fresh())))
        self._check_clock(requests, timed)
        check_idle(self.worker)

    def _check_clock(self, requests: list[Request], timed: Sequence[Request]) -> None:
        """Hold the requests' clocks against the anchor's, in turns with it while most requests are suspicious."""
        if self.anchor is None:
            return
        trusted: list[Request] = []
        accusation = ""
        for attempt in range(_CLOCK_LOOKS):
            if attempt:
                requests = requests + self._time_fresh(self.worker)[1]
            self.worker.pause()
            trusted += self._time_fresh(self.anchor)[1]
            self.anchor.pause()
            accusation = hidden_time(timed, trusted, fewest=1) or hidden_time(requests, trusted) or ""
            if not accusation:
                return
        disqualify(accusation)

    def _in_a_row(self, frame: Image) -> tuple[Cost, Cost]:
        """Time a few calls on one frame, and as many on new ones: the first of the one may be as slow as the others."""
        on_cpu = self.threads is not None
        reused = cost_of_call(self.worker, frame, on_cpu=on_cpu, calls=_ROW, inputs="reused")
        return reused, cost_of_call(self.worker, self.frames.fresh(), on_cpu=on_cpu, calls=_ROW)

    def _time_fresh(self, worker: Timed) -> tuple[list[float], list[Request]]:
        """Time a few short bursts on new frames; the outputs of the network in question are compared."""
        times: list[float] = []
        requests = []
        for _ in range(_BURSTS):
            frame = self.frames.fresh()
            reply = worker.time([frame], 1, _CALLS, 1, _BURST_S)
            every = [*reply.warmup_ms, *reply.samples_ms]
            requests.append(Request(len(every), sum(every), reply.wall_s * 1e3))
            times += reply.samples_ms
            if worker is self.worker:
                self.outputs.check(_last(frame, len(every)))
        return times, requests

    def _seen(self) -> Cost:
        """Time a frame that was upscaled just before; the outputs must agree."""
        frame = self.frames.fresh()
        untimed = self.worker.upscale(frame)
        cost = self._cost(frame)
        self.outputs.check(frame, untimed)
        return cost

    def _cost(self, frame: Image) -> Cost:
        return cost_of_call(self.worker, frame, on_cpu=self.threads is not None)


def _last(frame: Image, calls: int) -> Image:
    return frame_of_call([frame], calls - 1)
