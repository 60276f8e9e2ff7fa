"""Timing of one network from its first call to its last, with no other network in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backends import BACKENDS
from harness.isolation.requests import TimeReply
from harness.isolation.session import Session
from harness.results import TimingRecord
from harness.results.measurement import TimingPart
from harness.run import stages
from harness.run.plan import Plan
from harness.timing import FrameSource, frame_of_call
from harness.timing.checks import Request, alarms_note, check_alarms
from harness.timing.output_check import OutputCheck, OutputSample
from harness.timing.post_timing_checks import PostTimingChecks
from harness.timing.protocol import Inputs

_OUTPUT_CHECKS = 3  # of calls drawn after they were made


@dataclass(frozen=True, slots=True)
class AloneTiming:
    """Times one network alone and checks what it timed.

    Attributes
    ----------
    plan
        The run: protocol, size, images, threads.
    worker
        Where the network is loaded.
    anchor
        The harness's own network. Its requests show how long a request takes in addition to its calls. None if it
        failed; the worker's clock is then not checked.
    """

    plan: Plan
    worker: Session
    anchor: Session | None

    def measure(self, reason: str | None = None) -> tuple[TimingPart, OutputSample | None]:
        """Time the forward pass.

        Parameters
        ----------
        reason
            Why the network is timed alone although its protocol interleaves; goes to the row and to the run's warnings.

        Returns
        -------
        tuple
            The timing with the peak memory, and a tile of the last timed output that was checked, None if none was.

        Raises
        ------
        WorkerError
            The network failed, or a check disqualifies it.
        """
        frames = self._frames()
        _, _, height, width = self.plan.track.output_shape
        if not BACKENDS.get(self.plan.request.backend).builds:
            # Host-to-device transfer of the weights is not timed.
            self.worker.prepare((height, width), call=False)
        # Measured before the calls: during them the network itself keeps the processor busy.
        busy = self.plan.place.busy()
        monitor = self.plan.place.card()
        # Read before and after the calls, so that no query of the card falls between them.
        before = monitor.read()
        reply = self._time(frames)
        readings = [reading for reading in (before, monitor.read()) if reading is not None]
        tile = self._check(frames, reply)
        calls = reply.warmup_calls + len(reply.samples_ms)
        # Measured last: without a size it is that of the last timed frame, and its calls must not precede the timed
        # ones.
        peak, remarks = stages.peak_memory(self.worker)
        parts = (reply.note, alarms_note(reply.alarms, calls), reason, *remarks)
        note = "; ".join(part for part in parts if part) or None
        timing = TimingRecord(
            clock=reply.clock,
            warmup=list(zip(reply.warmup_at_s, reply.warmup_ms, strict=True)),
            samples=list(zip(reply.at_s, reply.samples_ms, strict=True)),
            note=note,
            card=readings,
            busy=busy,
        )
        # The warning concerns all rows: times of different orders are compared with less certainty.
        part = TimingPart(timing=timing, peak_memory_bytes=peak, warnings=[reason] if reason else [])
        # Stopped, so that it uses no processor time while the next network is prepared or timed.
        self.worker.pause()
        return part, tile

    def _frames(self) -> list[NDArray[np.uint8]]:
        dataset = self.plan.dataset
        # As the challenge scripts do: each image at its own size. The frames may therefore differ in size.
        if self.plan.protocol.inputs == "dataset":
            return [dataset.pair(index)[0] for index in range(len(dataset))]
        return self.plan.timing_frames()

    def _time(self, frames: list[NDArray[np.uint8]]) -> TimeReply:
        protocol = self.plan.protocol
        # One request for all calls: the network runs from its first call to its last without any message in between.
        return self.worker.time(
            frames,
            warmup=protocol.warmup,
            repeats=protocol.repeats,
            min_repeats=protocol.min_repeats,
            budget_s=protocol.budget_s,
            inputs=protocol.inputs,
        )

    def _check(self, frames: list[Any], reply: TimeReply) -> OutputSample | None:
        """Compare timed outputs with untimed ones, and time a few more calls on other frames.

        A network whose call takes a large part of the budget gets no further calls.
        """
        protocol, rng = self.plan.protocol, np.random.default_rng()
        calls = reply.warmup_calls + len(reply.samples_ms)
        check_alarms(reply.alarms, calls)
        outputs = OutputCheck(self.worker, protocol.precision)
        # Drawn after the timing: the worker cannot know which outputs are compared.
        for call in rng.choice(calls, min(calls, _OUTPUT_CHECKS), replace=False).tolist():
            variation = reply.variations[call] if reply.variations else None
            # `variations` is empty unless the protocol uses fresh frames; call k of a data set used frame k as it was
            # sent.
            frame = frames[0] if protocol.inputs == "reused" else frame_of_call(frames, call, variation)
            outputs.check(frame, reply.strips[call])
        # A note says that a single call outlasts the budget, see `worker.measure.time_forward`.
        if reply.note is not None or protocol.is_slow(float(np.median(reply.samples_ms))):
            return outputs.last
        # The reused frame lets the check compare its times with those of new frames: stored results would be faster.
        self._checks_after(frames, outputs).check(
            reply.samples_ms, self._timed_requests(reply), frames[0] if protocol.inputs == "reused" else None
        )
        return outputs.last

    def _checks_after(self, frames: list[Any], outputs: OutputCheck) -> PostTimingChecks:
        on_images = self.plan.protocol.inputs == "dataset"
        # The largest image: the anchor's share of a request must not be smaller than the network's.
        source = FrameSource([max(frames, key=np.size)] if on_images else frames)
        # Processor time is limited only where the network computes on the CPU.
        threads = self.plan.device.threads if self.plan.device.kind == "cpu" else None
        return PostTimingChecks(self.worker, source, outputs, threads, self.anchor)

    def _timed_requests(self, reply: TimeReply) -> list[Request]:
        """Return the timed requests that the check of the clock may judge."""
        inputs = self.plan.protocol.inputs
        # Such backends build once for each size of image, within the request, so its wall time exceeds the calls.
        builds = inputs == "dataset" and BACKENDS.get(self.plan.request.backend).builds
        return [] if builds else _requests(reply, inputs)


def _requests(reply: TimeReply, inputs: Inputs) -> list[Request]:
    """Return the timing of one request in the form that the check of the clock takes."""
    calls, reported_ms = len(reply.samples_ms), sum(reply.samples_ms)
    if inputs == "dataset":
        # Each call had a frame of its own to transfer, as a request of one call has.
        return [
            Request(1, reported_ms / calls, reply.wall_s * 1e3 / calls, delay_ms=reply.delay_s * 1e3 / calls)
        ] * calls
    # Fresh or reused frames: the request as a whole is judged, with the calls of its warm-up.
    return [Request.from_reply(reply)]
