"""What a timed call must have done: its output against an untimed one, its time against the controller's clock.

All of this is decided in the controller. What it can prove and what not is in ``docs/timing.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from harness.errors import WorkerError
from harness.timing.contender import Image, Timed

_TILE = 192
_TOLERANCE = {"fp32": 0.01, "fp16": 0.15, "bf16": 1.0}  # mean difference in levels: rounding of another kernel
_OWN_SPREAD = 3.0  # times what two untimed passes of the same network differ by
_DIFFERENT_INPUTS = 8.0  # levels
_SEEN_SHARE = 0.5
_SEEN_LEAST_MS = 2.0
_BORDER = 16
_SIZE_DB = 0.5
_CPU_SHARE = 1.25
_CPU_LEAST_S = 0.3
_IDLE_S = (0.15, 0.5)  # a second, longer look where the first one found something
_IDLE_CORES = 0.03  # on a crowded machine, what spins gets no more
_CONFIRMATIONS = 5
_OVERHEAD_SHARE = 0.1
_OVERHEAD_TIMES = 3.0
_OVERHEAD_LEAST_MS = 20.0
_OVERHEAD_REQUESTS = 3

Again = Callable[[], tuple[float, float]]

DISQUALIFIED = "Disqualified"
"""The kind of WorkerError that makes a row disqualified, not failed."""


def disqualify(what: str) -> NoReturn:
    """Raise the error that ends a submission's measurement as a foul."""
    raise WorkerError(what, stage="time", kind=DISQUALIFIED)


@dataclass(slots=True)
class OutputCheck:
    """Compares a network's timed outputs with untimed ones of the same frames, at places drawn afterwards.

    Parameters
    ----------
    worker
        Where the network runs.
    scale
        Upscaling factor.
    precision
        ``fp32``, ``fp16`` or ``bf16``: how far two passes of an honest network may differ.
    rng
        Draws the places.
    """

    worker: Timed
    scale: int
    precision: str
    rng: np.random.Generator
    _earlier: list[tuple[Image, tuple[int, int, int, int], NDArray[np.float32]]] = field(default_factory=list)

    def check(self, frame: Image, untimed: Image | None = None) -> None:
        """Check the output of the last timed call.

        Parameters
        ----------
        frame
            What that call was given, H x W x 3, uint8.
        untimed
            The same frame upscaled outside the timing; by default it is asked for now.

        Raises
        ------
        WorkerError
            Of the kind `DISQUALIFIED`, where the outputs differ or do not depend on the input.
        """
        place = self._draw(frame)
        tile = self.worker.output(*place)
        repeated = [self.worker.output(*earlier) for _, earlier, _ in self._earlier]
        reference = self.worker.upscale(frame) if untimed is None else untimed
        self._compare(tile, reference, frame, place)
        for (other, earlier, seen), again in zip(self._earlier, repeated, strict=True):
            if np.array_equal(seen, again) and self._inputs_differ(frame, other, earlier):
                disqualify("the same image came back for different frames: an old result was returned")
        self._earlier = [(frame, place, tile)]

    def _compare(
        self, tile: NDArray[np.float32], reference: Image, frame: Image, place: tuple[int, int, int, int]
    ) -> None:
        if not np.isfinite(tile).all():
            disqualify("the timed output holds values that are not finite")
        timed = np.clip(np.rint(tile), 0, 255)
        difference = float(np.abs(timed - _part(reference, place)).mean())
        if difference <= _TOLERANCE[self.precision]:
            return
        again = self.worker.upscale(frame)
        spread = float(np.abs(_part(again, place) - _part(reference, place)).mean())
        if difference > max(_TOLERANCE[self.precision], _OWN_SPREAD * spread):
            disqualify(
                f"the output of a timed call differs from the untimed one of the same frame by {difference:.3g} "
                f"of 255 levels on average; two untimed ones by {spread:.2g}"
            )

    def _draw(self, frame: Image) -> tuple[int, int, int, int]:
        height, width = (side * self.scale for side in frame.shape[:2])
        rows, columns = min(_TILE, height), min(_TILE, width)
        top, left = self.rng.integers(0, height - rows + 1), self.rng.integers(0, width - columns + 1)
        return int(top), int(left), rows, columns

    def _inputs_differ(self, one: Image, other: Image, place: tuple[int, int, int, int]) -> bool:
        top, left, rows, columns = (side // self.scale for side in place)
        region = np.s_[top : top + max(1, rows), left : left + max(1, columns)]
        difference = np.abs(one[region].astype(np.int16) - other[region])
        return float(difference.mean()) > _DIFFERENT_INPUTS


def _part(image: Image, place: tuple[int, int, int, int]) -> NDArray[np.float32]:
    top, left, rows, columns = place
    return image[top : top + rows, left : left + columns].astype(np.float32)


def check_seen_frame(seen_ms: float, fresh_ms: Sequence[float], again: Again | None = None) -> None:
    """Disqualify a network that is much faster on a frame that it was given before.

    Parameters
    ----------
    seen_ms
        Time on the frame that it had upscaled just before.
    fresh_ms
        Times on frames that were new to it.
    again
        Measures both anew, one right after the other: on a busy machine, one lucky call proves nothing.
    """
    least = min(fresh_ms, default=0.0)
    if _much_faster(seen_ms, least) and _confirmed(again):
        disqualify(
            f"a frame that it had upscaled before took {seen_ms:.3g} ms, new frames at least {least:.3g} ms: "
            "results are kept"
        )


def check_noise(noise_ms: float, image_ms: Sequence[float], again: Again | None = None) -> None:
    """Disqualify a network that is much faster on noise than on images: it looks whether it is being timed."""
    least = min(image_ms, default=0.0)
    if _much_faster(noise_ms, least) and _confirmed(again):
        disqualify(
            f"a frame of noise took {noise_ms:.3g} ms, images at least {least:.3g} ms: it tells noise from images"
        )


def _much_faster(one_ms: float, least_ms: float) -> bool:
    return one_ms < _SEEN_SHARE * least_ms and least_ms - one_ms > _SEEN_LEAST_MS


def _confirmed(again: Again | None) -> bool:
    """Compare the fastest calls of several: what else the machine does can only slow one down."""
    if again is None:
        return True
    suspected, others = zip(*(again() for _ in range(_CONFIRMATIONS)), strict=True)
    return _much_faster(min(suspected), min(others))


def check_timed_size(scored: Image, timed: Image, truth: Image) -> None:
    """Disqualify a network that is worse at the size that is timed than at the size that is scored.

    Parameters
    ----------
    scored
        The image as it was scored, H x W x 3, uint8.
    timed
        The same part of it, upscaled within a frame of the timed size.
    truth
        The same part of the HR image.
    """
    inner = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER] if min(truth.shape[:2]) > 4 * _BORDER else np.s_[:, :]
    errors = [float(np.square(image[inner].astype(np.float32) - truth[inner]).mean()) for image in (scored, timed)]
    if errors[1] > errors[0] * 10 ** (_SIZE_DB / 10) + 1:
        worse = 10 * np.log10(errors[1] / max(errors[0], 1e-3))
        disqualify(
            f"at the timed size its image is {worse:.2f} dB worse than at the scored one: it does less when timed"
        )


def check_processor_time(cpu_s: float, wall_s: float, threads: int | None) -> None:
    """Disqualify a worker that took more processor time in its turns than its threads could.

    Parameters
    ----------
    cpu_s
        Processor time of its process and of all that it started; 0 where nobody can tell.
    wall_s
        How long its turns took by the controller's clock.
    threads
        How many it may use; None for any number.
    """
    if threads is not None and cpu_s > _CPU_SHARE * threads * wall_s + _CPU_LEAST_S:
        disqualify(
            f"it took {cpu_s:.3g} s of processor time in {wall_s:.3g} s, where it may use {threads} thread(s): "
            "it works or spins on other cores"
        )


def check_idle(worker: Timed) -> None:
    """Disqualify a worker that keeps cores busy while it has nothing to do, which slows whoever runs beside it."""
    looks = []
    for length_s in _IDLE_S:
        cores = worker.idle_cores(length_s)
        if cores is None or cores < _IDLE_CORES:
            return
        looks.append(cores)
    disqualify(
        f"it keeps {min(looks):.2g} core(s) busy while it has nothing to do, which slows others; it was stopped during "
        "their turns"
    )


@dataclass(frozen=True, slots=True)
class Request:
    """One timing request by both clocks.

    Attributes
    ----------
    calls
        Forward passes in it.
    reported_ms
        What the worker says they took together.
    wall_ms
        What the request took by the controller's clock.
    """

    calls: int
    reported_ms: float
    wall_ms: float

    @property
    def rest_ms(self) -> float:
        """What the request took beside the calls: transfer, conversion, checks, and what was hidden."""
        return self.wall_ms - self.reported_ms


def check_clocks(requests: Sequence[Request], trusted: Sequence[Request]) -> None:
    """Disqualify a worker whose reported times leave more of the controller's time unexplained than the anchor's do.

    Every request must be suspicious: a busy machine delays some, a forged clock all.

    Parameters
    ----------
    requests
        The submission's.
    trusted
        The anchor's, on frames of the same size.
    """
    if len(requests) < _OVERHEAD_REQUESTS or not trusted:
        return
    per_call = float(np.median([request.rest_ms / request.calls for request in trusted]))

    def allowed(request: Request) -> float:
        rest = _OVERHEAD_TIMES * per_call * request.calls
        return rest + _OVERHEAD_SHARE * request.reported_ms + _OVERHEAD_LEAST_MS

    if all(request.rest_ms > allowed(request) for request in requests):
        least = min(requests, key=lambda request: request.rest_ms)
        disqualify(
            f"the worker reports {least.reported_ms:.3g} ms for {least.calls} call(s), the controller's clock saw "
            f"{least.wall_ms:.3g} ms, of which the harness's own part is about {per_call * least.calls:.3g} ms"
        )


def check_alarms(alarms: int, calls: int) -> None:
    """Disqualify a network after whose timed calls the device goes on working, in most of the calls."""
    if calls and alarms > calls / 2:
        disqualify(f"the device went on working after {alarms} of {calls} timed calls: work outside the timed stream")
