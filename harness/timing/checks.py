"""Checks of what was timed: speed on repeated frames and noise, image size, processor time and clocks.

Every check runs in the controller, which the submission cannot influence. ``docs/timing.md`` says what the checks can
prove and what they cannot. Timed outputs are compared in :mod:`harness.timing.output_check`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from harness.errors import DISQUALIFIED, WorkerError
from harness.timing.confirmation import MeasurePair, confirm_speedup
from harness.timing.frames import Image
from harness.timing.timed_worker import TimeReport

_MAX_SIZE_LOSS_DB = 0.2  # away from the border, only a network with a global receptive field can differ
_BORDER = 16  # pixels
GRAIN = 3.0
"""Mean squared error, in levels, that rounding and the random lowest bits of timed frames may cause."""
# Allowed processor time, as a multiple of threads x wall time. Workers are bound to as many processors as threads.
_CPU_SHARE = 1.03
_CPU_SLACK_S = 0.1
_FEW_ALARMS = 0.05  # of all calls
# Allowed difference between the clocks of controller and worker: a multiple of the anchor's, plus a share of the
# reported time, plus a constant.
_OVERHEAD_FACTOR = 3.0
_OVERHEAD_SHARE = 0.1
_OVERHEAD_SLACK_MS = 20.0
# Allowed difference between reported times and those between marks.
_MARK_SHARE = 0.05
_MARK_SLACK_MS = 2.0
_FEW_REQUESTS = 2


def disqualify(message: str) -> NoReturn:
    """Raise the error that disqualifies a submission."""
    raise WorkerError(message, stage="time", kind=DISQUALIFIED)


def check_seen_frame(seen_ms: float, fresh_ms: Sequence[float], measure_pair: MeasurePair) -> None:
    """Disqualify a network that is much faster on a frame that it has processed before: it stores results.

    Parameters
    ----------
    seen_ms
        Time on a frame that the network had upscaled just before.
    fresh_ms
        Times on frames that were new to it.
    measure_pair
        Measures a seen and a new frame again. On a busy machine, one fast call proves nothing.
    """
    found = confirm_speedup(seen_ms, fresh_ms, measure_pair)
    if found:
        disqualify(
            f"frames that it had upscaled before took {found[0]:.3g} ms, new frames {found[1]:.3g} ms: results are kept"
        )


def check_noise(noise_ms: float, image_ms: Sequence[float], measure_pair: MeasurePair) -> None:
    """Disqualify a network that is much faster on noise than on images: it recognises benchmark inputs.

    Parameters
    ----------
    noise_ms
        Time on a frame of noise.
    image_ms
        Times on images.
    measure_pair
        Measures noise and an image again.
    """
    found = confirm_speedup(noise_ms, image_ms, measure_pair)
    if found:
        disqualify(f"frames of noise took {found[0]:.3g} ms, images {found[1]:.3g} ms: it tells noise from images")


def check_timed_size(images: Iterable[tuple[Image, NDArray[np.floating], Image]]) -> None:
    """Disqualify a network whose images are all worse at the timed size than at the scored size.

    One image that is not worse ends the check: the output of an honest network may depend on the rest of the frame.

    Parameters
    ----------
    images
        For each image: the output that is scored, the same part of the output for a frame of the timed size, and the
        same part of the HR image; all H x W x 3, in levels.
    """
    losses = []
    for scored, timed, truth in images:
        losses.append(_loss_db(scored, timed, truth))
        if losses[-1] <= _MAX_SIZE_LOSS_DB:
            return
    if losses:
        disqualify(
            f"at the timed size its image is {min(losses):.2f} dB worse than at the scored one: it does less when timed"
        )


def _loss_db(scored: Image, timed: NDArray[np.floating], truth: Image) -> float:
    """Return by how many dB `timed` is worse than `scored`, without the border and beyond rounding and grain."""
    inner = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER] if min(truth.shape[:2]) > 4 * _BORDER else np.s_[:, :]
    errors = [float(np.square(image[inner].astype(np.float32) - truth[inner]).mean()) for image in (scored, timed)]
    # The timed frame has other lowest bits, which may raise the error by GRAIN. The maximum avoids log(0).
    return 10 * math.log10(max(errors[1], 1e-3) / (errors[0] + GRAIN))


def check_processor_time(cpu_s: float, wall_s: float, threads: int | None) -> None:
    """Disqualify a worker that used more processor time than its threads can.

    Parameters
    ----------
    cpu_s
        Processor time of the worker's process and its children, seconds; 0 if unknown.
    wall_s
        Time in which it was used, by the controller's clock, seconds.
    threads
        Number of threads that the worker may use; None for no limit.
    """
    if threads is not None and cpu_s > _CPU_SHARE * threads * wall_s + _CPU_SLACK_S:
        disqualify(
            f"it took {cpu_s:.3g} s of processor time in {wall_s:.3g} s, where it may use {threads} thread(s): "
            "it works or spins on other cores"
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One timing request, timed by the worker and by the controller.

    Attributes
    ----------
    calls
        Number of forward passes.
    reported_ms
        Sum of their times as reported by the worker, milliseconds.
    wall_ms
        Length of the request by the controller's clock, milliseconds.
    is_scored
        Whether its times are among the samples. Those of the warm-up and of checks are not.
    unreported_ms
        By how much more the controller saw between the marks of the calls than is reported, milliseconds, see
        :func:`unreported_ms`; None if unknown.
    delay_ms
        For how long other programs may have kept the worker from running, milliseconds, see
        :mod:`harness.isolation.delays`.
    """

    calls: int
    reported_ms: float
    wall_ms: float
    is_scored: bool = True
    unreported_ms: float | None = None
    delay_ms: float = 0.0

    @property
    def overhead_ms(self) -> float:
        """Part of the request that is not in the reported times: transfer, conversion, checks, and hidden work."""
        return self.wall_ms - self.reported_ms

    @property
    def own_overhead_ms(self) -> float:
        """The overhead without what other programs may have added, which the submission cannot make appear larger."""
        return max(0.0, self.overhead_ms - self.delay_ms)

    @classmethod
    def from_reply(cls, reply: TimeReport, *, is_scored: bool = True) -> Request:
        """Return the request that a worker has answered; the calls of its warm-up count too."""
        every = [*reply.warmup_ms, *reply.samples_ms]
        hidden = unreported_ms(every, reply.marked_ms)
        return cls(len(every), sum(every), reply.wall_s * 1e3, is_scored, hidden, reply.delay_s * 1e3)


def check_clocks(requests: Sequence[Request], trusted: Sequence[Request]) -> None:
    """Disqualify a worker whose reported times are too short for the time that the controller measured.

    The scored requests are also judged alone: a worker that forges the result must forge most of those.

    Parameters
    ----------
    requests
        Requests to the submission.
    trusted
        Requests to the anchor with frames of the same size. They show how long the harness's own work takes.
    """
    for judged in ([request for request in requests if request.is_scored], requests):
        message = find_unreported_time(judged, trusted)
        if message:
            disqualify(message)


def check_marks(requests: Sequence[Request]) -> None:
    """Disqualify a worker whose reported times are too short for the moments at which its calls began and ended.

    The kernel stamps these moments, so the harness's own work is not between them. A busy machine can interrupt the
    worker between a mark and the reading of its clock, so up to half of the requests are no evidence. Scored is the
    median of the requests, which a worker cannot lower by forging fewer than half of them.

    Parameters
    ----------
    requests
        All requests to one process of the submission.
    """
    judged, hidden = _marked(requests)
    # Of up to three requests all must be suspicious, of more than three more than half.
    few = max(_FEW_REQUESTS, len(judged) // 2) if len(judged) > _FEW_REQUESTS else len(judged) - 1
    if hidden and len(hidden) > few:
        request, unreported_ms = max(hidden, key=lambda one: one[1])
        disqualify(
            f"the worker reports {request.reported_ms:.3g} ms for {request.calls} call(s), the controller's clock saw "
            f"{unreported_ms:.3g} ms more between their begin and end, and the like in {len(hidden)} of {len(judged)} "
            "requests"
        )


def _marked(requests: Sequence[Request]) -> tuple[list[tuple[Request, float]], list[tuple[Request, float]]]:
    """Return the requests with marks, each with its unreported time, and those of them that report too little."""
    judged = [(request, request.unreported_ms) for request in requests if request.unreported_ms is not None]
    # The share refers to the time between the marks: what is reported plus what is not.
    hidden = [one for one in judged if one[1] > _MARK_SHARE * (one[0].reported_ms + one[1]) + _MARK_SLACK_MS]
    return judged, hidden


def are_doubtful(requests: Sequence[Request], trusted: Sequence[Request]) -> bool:
    """Return whether half or more of the requests, or of the scored ones, report too little.

    Parameters
    ----------
    requests, trusted
        As in :func:`check_clocks`.
    """
    judged, hidden = _marked(requests)
    groups = [[request for request in requests if request.is_scored], requests] if trusted else []
    counts = [(len(_unexplained(group, trusted)[0]), len(group)) for group in groups]
    return any(few and 2 * few >= number for few, number in [(len(hidden), len(judged)), *counts])


def unreported_ms(reported_ms: Sequence[float], marked_ms: Sequence[float]) -> float | None:
    """Return by how much more time the controller saw between the marks of calls than the worker reports.

    The difference of a call is the mean without the two fifths of the calls in which it is largest: a busy machine
    interrupts workers between a mark and the reading of their clock.

    Parameters
    ----------
    reported_ms
        Time of each call, milliseconds.
    marked_ms
        Time between the marks of each call, milliseconds; empty if unknown.

    Returns
    -------
    float or None
        Milliseconds; None if unknown.
    """
    if not marked_ms:
        return None
    differences = sorted(marked - ms for ms, marked in zip(reported_ms, marked_ms, strict=True))
    kept = differences[: len(differences) - 2 * len(differences) // 5]
    # The mean of the kept calls stands for each call of the request.
    return len(differences) * sum(kept) / len(kept)


def find_unreported_time(requests: Sequence[Request], trusted: Sequence[Request], min_requests: int = 3) -> str | None:
    """Return a description of the time that most requests do not report.

    A busy machine delays some requests, so what other programs used is left out, and a minority of suspicious requests
    is no evidence.

    Parameters
    ----------
    requests, trusted
        As in :func:`check_clocks`.
    min_requests
        Number of requests below which nothing is decided.

    Returns
    -------
    str or None
        Message for the submission's author; None where the clocks agree or there are too few requests.
    """
    if len(requests) < min_requests or not trusted:
        return None
    suspicious, expected = _unexplained(requests, trusted)
    if 2 * len(suspicious) <= len(requests):
        return None
    typical = sorted(suspicious, key=lambda request: request.own_overhead_ms)[len(suspicious) // 2]
    return (
        f"the worker reports {typical.reported_ms:.3g} ms for {typical.calls} call(s), the controller's clock saw "
        f"{typical.reported_ms + typical.own_overhead_ms:.3g} ms, of which the harness's own part is about "
        f"{expected(typical):.3g} ms"
    )


def _unexplained(
    requests: Sequence[Request], trusted: Sequence[Request]
) -> tuple[list[Request], Callable[[Request], float]]:
    """Return the requests of which too much time is unexplained, and the function that says how much is expected."""
    # The anchor's overhead includes its delays, which can only widen the allowance.
    per_call = float(np.median([request.overhead_ms / request.calls for request in trusted]))
    per_request = float(np.median([request.overhead_ms for request in trusted]))

    def expected(request: Request) -> float:
        # Some overhead belongs to the request and some to each call. The anchor is fast and makes many calls in one
        # request, so neither figure alone fits a network that makes one.
        return max(per_request, per_call * request.calls)

    def allowed(request: Request) -> float:
        return _OVERHEAD_FACTOR * expected(request) + _OVERHEAD_SHARE * request.reported_ms + _OVERHEAD_SLACK_MS

    return [request for request in requests if request.own_overhead_ms > allowed(request)], expected


def alarms_note(alarms: int, calls: int) -> str | None:
    """Return a note for the reader where two clocks of the worker disagree; None where they seldom do.

    Parameters
    ----------
    alarms
        Number of calls in which they disagree, see :class:`harness.worker.clock.Reading`. A busy host causes a few.
    calls
        Number of all calls.
    """
    if alarms <= _FEW_ALARMS * calls:
        return None
    return f"the host's clock disagrees with the device's events in {alarms} of {calls} calls"


def check_alarms(alarms: int, calls: int) -> None:
    """Disqualify a network if the device kept working after most of its timed calls had ended.

    Parameters
    ----------
    alarms, calls
        As in :func:`alarms_note`.
    """
    if calls and alarms > calls / 2:
        disqualify(f"the device went on working after {alarms} of {calls} timed calls: work outside the timed stream")
