"""Checks that follow the timing of a network that was timed alone.

Some protocols use one frame for all calls, or make one call per image. Their samples cannot show whether a network
stores results or a worker forges its clock, so a few more calls are timed. They are not among the samples.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.timing.checks import (
    Request,
    check_marks,
    check_noise,
    check_processor_time,
    check_seen_frame,
    disqualify,
    find_unreported_time,
)
from harness.timing.confirmation import CallTime, time_call
from harness.timing.frames import FrameSource, Image, frame_of_call
from harness.timing.idle_check import check_idle
from harness.timing.output_check import OutputCheck
from harness.timing.timed_worker import TimedWorker

# Bursts on new frames: their number, calls of each, and seconds after which no further call of a burst begins.
_BURSTS = 3
_BURST_CALLS = 4
_BURST_S = 0.3
_FEW_CALLS = 3  # of a burst, so long that only one of their outputs is compared
_CLOCK_ATTEMPTS = 3
_SPEEDUP_ATTEMPTS = 3  # the fastest counts, because load can slow one down
# Calls on one frame. The median then lies beyond the first calls, which a cheat may slow down in order to deceive.
_CALLS_ON_ONE_FRAME = 7


@dataclass(frozen=True, slots=True)
class PostTimingChecks:
    """The checks of one network.

    Attributes
    ----------
    worker
        Process that runs the network.
    frames
        Generates frames of the timed size.
    outputs
        Compares timed outputs with untimed ones.
    threads
        Number of threads that the network may use on the CPU; None for no limit.
    anchor
        The harness's own network. The overhead of its requests shows how much of a request is the harness's own work.
        None to skip the check of the clock.
    """

    worker: TimedWorker
    frames: FrameSource
    outputs: OutputCheck
    threads: int | None
    anchor: TimedWorker | None

    def check(self, samples_ms: Sequence[float], timed: Sequence[Request], reused: Image | None = None) -> None:
        """Check a network by its samples and by further calls.

        Parameters
        ----------
        samples_ms
            Timed calls, milliseconds.
        timed
            The requests in which they were made.
        reused
            The frame of all timed calls, H x W x 3, uint8, if there was only one.

        Raises
        ------
        WorkerError
            Of the kind `DISQUALIFIED`.
        """
        begin_s, before = time.monotonic(), self.worker.cpu_s()
        fresh_ms, requests = self._time_fresh(self.worker)
        after = self.worker.cpu_s()
        if before is not None and after is not None:
            check_processor_time(after - before, time.monotonic() - begin_s, self.threads)
        if reused is not None:
            check_seen_frame(float(np.median(samples_ms)), fresh_ms, lambda: self._time_reused_and_fresh(reused))
        seen_ms = min(self._time_seen().ms for _ in range(_SPEEDUP_ATTEMPTS))
        check_seen_frame(seen_ms, fresh_ms, lambda: (self._time_seen(), self._time(self.frames.fresh())))
        noise = self.frames.noise
        noise_ms = min(self._time(noise()).ms for _ in range(_SPEEDUP_ATTEMPTS))
        check_noise(noise_ms, fresh_ms, lambda: (self._time(noise()), self._time(self.frames.fresh())))
        check_marks(timed)
        check_marks(requests)
        self._check_clock(requests, timed)
        check_idle(self.worker)

    def _check_clock(self, requests: list[Request], timed: Sequence[Request]) -> None:
        """Compare the requests' overhead with the anchor's; repeat both while most requests are suspicious."""
        if self.anchor is None:
            return
        trusted: list[Request] = []
        message = ""
        for attempt in range(_CLOCK_ATTEMPTS):
            if attempt:
                # A new list, because the caller's must not grow.
                requests = requests + self._time_fresh(self.worker)[1]
            # The submission must not run beside the anchor: a slower anchor would raise the allowed overhead.
            self.worker.pause()
            trusted += self._time_fresh(self.anchor)[1]
            self.anchor.pause()
            # The protocol may have made all its calls in a single request, which is judged alone.
            unreported = find_unreported_time(timed, trusted, min_requests=1)
            message = unreported or find_unreported_time(requests, trusted) or ""
            if not message:
                return
        disqualify(message)

    def _time_reused_and_fresh(self, frame: Image) -> tuple[CallTime, CallTime]:
        """Time calls on one frame, and as many on new frames."""
        on_cpu, calls = self.threads is not None, _CALLS_ON_ONE_FRAME
        reused = time_call(self.worker, frame, on_cpu=on_cpu, calls=calls, inputs="reused")
        return reused, time_call(self.worker, self.frames.fresh(), on_cpu=on_cpu, calls=calls)

    def _time_fresh(self, worker: TimedWorker) -> tuple[list[float], list[Request]]:
        """Time short bursts on new frames, milliseconds; check the submission's outputs, not the anchor's."""
        times: list[float] = []
        requests = []
        for _ in range(_BURSTS):
            frame = self.frames.fresh()
            reply = worker.time([frame], 1, _BURST_CALLS, 1, _BURST_S)
            every = [*reply.warmup_ms, *reply.samples_ms]
            requests.append(Request.from_reply(reply))
            times += reply.samples_ms
            if worker is self.worker:
                # Two of a burst that has several, so that less work in every second call is found.
                number = 2 if len(every) > _FEW_CALLS else 1
                for call in self.frames.rng.choice(len(every), number, replace=False).tolist():
                    self.outputs.check(frame_of_call([frame], call, reply.variations[call]), reply.strips[call])
        return times, requests

    def _time_seen(self) -> CallTime:
        """Time a frame that the network has upscaled just before, and compare the outputs."""
        frame = self.frames.fresh()
        untimed = self.worker.upscale(frame)
        timed = self._time(frame)
        assert timed.strips is not None
        self.outputs.check(frame, timed.strips, untimed)
        return timed

    def _time(self, frame: Image) -> CallTime:
        return time_call(self.worker, frame, on_cpu=self.threads is not None)
