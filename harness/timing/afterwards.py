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
    check_clocks,
    check_idle,
    check_noise,
    check_processor_time,
    check_seen_frame,
    hidden_time,
)
from harness.timing.confirmation import Cost, cost_of_call
from harness.timing.contender import Image, Timed
from harness.timing.frames import FrameSource
from harness.timing.measure import frame_of_call

_BURSTS = 3
_CALLS = 4
_BURST_S = 0.3
_CLOCK_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Afterwards:
    """The checks of one network.

    Attributes
    ----------
    worker
        Where it runs.
    frames
        Gives frames of the timed size.
    outputs
        Compares timed outputs with untimed ones.
    most_calls
        1 where frames are padded for it, as in :class:`harness.timing.contender.Contender`.
    threads
        How many it may use on the CPU; None for any number.
    anchor
        The harness's own network, by whose requests the clock is judged; None where there is none.
    """

    worker: Timed
    frames: FrameSource
    outputs: OutputCheck
    most_calls: int
    threads: int | None
    anchor: Timed | None

    def check(self, samples_ms: Sequence[float], reused: Image | None = None) -> None:
        """Judge a network by the calls that follow its timing.

        Parameters
        ----------
        samples_ms
            What was timed.
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
            check_seen_frame(float(np.median(samples_ms)), fresh_ms, lambda: self._beside_fresh(reused))
        check_seen_frame(self._seen().ms, fresh_ms, lambda: (self._seen(), self._cost(self.frames.fresh())))
        noise = self.frames.noise
        check_noise(self._cost(noise()).ms, fresh_ms, lambda: self._beside_fresh(noise()))
        self._check_clock(requests)
        check_idle(self.worker)

    def _check_clock(self, requests: list[Request]) -> None:
        """Hold the requests' clock against the anchor's, in turns with it until one request is beyond suspicion."""
        if self.anchor is None:
            return
        trusted: list[Request] = []
        for attempt in range(_CLOCK_LOOKS):
            if attempt:
                requests = requests + self._time_fresh(self.worker)[1]
            self.worker.pause()
            trusted += self._time_fresh(self.anchor)[1]
            self.anchor.pause()
            if hidden_time(requests, trusted) is None:
                return
        check_clocks(requests, trusted)

    def _beside_fresh(self, frame: Image) -> tuple[Cost, Cost]:
        return self._cost(frame), self._cost(self.frames.fresh())

    def _time_fresh(self, worker: Timed) -> tuple[list[float], list[Request]]:
        """Time a few short bursts on new frames; the outputs of the network in question are compared."""
        times: list[float] = []
        requests = []
        for _ in range(_BURSTS):
            frame = self.frames.fresh()
            calls = min(_CALLS, self.most_calls)
            reply = worker.time([frame], 1 if calls > 1 else 0, calls, 1, _BURST_S)
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
