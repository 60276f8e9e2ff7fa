"""What a timed call must have done: its output against an untimed one, its time against the controller's clock.

All of this is decided in the controller. What it can prove and what not is in ``docs/timing.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from harness.errors import DISQUALIFIED, WorkerError
from harness.timing.confirmation import Again, confirm_speedup
from harness.timing.contender import Image, OutputTile, Timed

_TILE = 192
_TOLERANCE = {"fp32": 0.01, "fp16": 0.15, "bf16": 1.0}  # mean difference in levels: rounding of another kernel
_OWN_SPREAD = 3.0  # times what two untimed passes of the same network differ by
_MOST_SPREAD = 0.5  # levels: torch's random numbers are the same in each call, so that little is left to chance
_DIFFERENT_INPUTS = 8.0  # levels
_BORDER = 16
_SIZE_DB = 0.2  # away from borders only what a network makes of the whole frame can differ
_CPU_SHARE = 1.25
_CPU_LEAST_S = 0.3
_IDLE_LOOKS_S = ((0.03, 0.15), (0.5, 0.5))  # settling, looking; a second where the first one found something
_IDLE_CORES = 0.05  # on a crowded machine, what spins may get no more; what waits takes nothing
_FEW_ALARMS = 0.05
_OVERHEAD_SHARE = 0.1
_OVERHEAD_TIMES = 3.0
_OVERHEAD_LEAST_MS = 20.0

_TIMED = "the output of a timed call differs from the untimed one of the same frame"
_FIRST = "the output of its first call differs from that of the same frame after the timing"
_LATER = "the output of a timed call differs from that of the same frame after the images had been upscaled"
_OTHER = "the image differs from that of the same frame in another process of the network"

_Place = tuple[int, int, int, int]  # top, left, rows, columns


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
    _earlier: list[OutputTile] = field(default_factory=list)
    _first: OutputTile | None = None

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
        repeated = [self.worker.output(*earlier.place) for earlier in self._earlier]
        reference = self.worker.upscale(frame) if untimed is None else untimed
        self._compare(tile, reference, frame, place, _TIMED)
        for earlier, again in zip(self._earlier, repeated, strict=True):
            if np.array_equal(earlier.values, again) and self._inputs_differ(frame, earlier.frame, earlier.place):
                disqualify("the same image came back for different frames: an old result was returned")
        self._earlier = [OutputTile(frame, place, tile)]

    def remember_first(self, frame: Image) -> None:
        """Keep a part of what the first call gave for `frame`, for :meth:`check_first`."""
        place = self._draw(frame)
        self._first = OutputTile(frame, place, self.worker.output(*place))

    def check_first(self) -> None:
        """Disqualify a network that gives another image for the first call's frame now, after many more calls."""
        if self._first is not None:
            self._compare_anew(self._first, _FIRST)

    @property
    def last(self) -> OutputTile | None:
        """What the last timed call gave that was checked."""
        return self._earlier[-1] if self._earlier else None

    def check_later(self, shown: OutputTile) -> None:
        """Disqualify a network that gives another image for a timed frame now, after those that are scored."""
        self._compare_anew(shown, _LATER)

    def show(self, frame: Image) -> OutputTile:
        """Keep a part of what this process makes of `frame`, for :meth:`check_shown` in another one."""
        place = self._draw(frame)
        return OutputTile(frame, place, _part(self.worker.upscale(frame), place))

    def check_shown(self, shown: OutputTile) -> None:
        """Disqualify a network of which another process made another image of the same frame.

        Every process is timed, and the last one's images are scored: all must be of the same network.
        """
        self._compare_anew(shown, _OTHER)

    def _compare_anew(self, shown: OutputTile, what: str) -> None:
        self._compare(shown.values, self.worker.upscale(shown.frame), shown.frame, shown.place, what)

    def _compare(self, tile: NDArray[np.float32], reference: Image, frame: Image, place: _Place, what: str) -> None:
        if not np.isfinite(tile).all():
            disqualify("the timed output holds values that are not finite")
        timed = np.clip(np.rint(tile), 0, 255)
        difference = float(np.abs(timed - _part(reference, place)).mean())
        if difference <= _TOLERANCE[self.precision]:
            return
        again = self.worker.upscale(frame)
        spread = float(np.abs(_part(again, place) - _part(reference, place)).mean())
        if difference > max(_TOLERANCE[self.precision], min(_OWN_SPREAD * spread, _MOST_SPREAD)):
            disqualify(f"{what} by {difference:.3g} of 255 levels on average; two untimed ones by {spread:.2g}")

    def _draw(self, frame: Image) -> _Place:
        height, width = (side * self.scale for side in frame.shape[:2])
        rows, columns = min(_TILE, height), min(_TILE, width)
        top, left = self.rng.integers(0, height - rows + 1), self.rng.integers(0, width - columns + 1)
        return int(top), int(left), rows, columns

    def _inputs_differ(self, one: Image, other: Image, place: _Place) -> bool:
        top, left, rows, columns = (side // self.scale for side in place)
        region = np.s_[top : top + max(1, rows), left : left + max(1, columns)]
        difference = np.abs(one[region].astype(np.int16) - other[region])
        return float(difference.mean()) > _DIFFERENT_INPUTS


def _part(image: Image, place: _Place) -> NDArray[np.float32]:
    top, left, rows, columns = place
    return image[top : top + rows, left : left + columns].astype(np.float32)


def check_seen_frame(seen_ms: float, fresh_ms: Sequence[float], again: Again) -> None:
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
    found = confirm_speedup(seen_ms, fresh_ms, again)
    if found:
        disqualify(
            f"frames that it had upscaled before took {found[0]:.3g} ms, new frames {found[1]:.3g} ms: results are kept"
        )


def check_noise(noise_ms: float, image_ms: Sequence[float], again: Again) -> None:
    """Disqualify a network that is much faster on noise than on images: it looks whether it is being timed.

    Parameters
    ----------
    noise_ms
        Time on a frame of noise.
    image_ms
        Times on images.
    again
        Measures both anew, one right after the other.
    """
    found = confirm_speedup(noise_ms, image_ms, again)
    if found:
        disqualify(f"frames of noise took {found[0]:.3g} ms, images {found[1]:.3g} ms: it tells noise from images")


def check_timed_size(images: Iterable[tuple[Image, Image, Image]]) -> None:
    """Disqualify a network whose images are all worse at the size that is timed than at the size that is scored.

    One that is not worse ends it: what a network makes of one image may depend on what else is in the frame.

    Parameters
    ----------
    images
        Each as it was scored, the same part of it upscaled within a frame of the timed size, and the same part of the
        HR image; all H x W x 3, uint8.
    """
    losses = []
    for scored, timed, truth in images:
        losses.append(_loss_db(scored, timed, truth))
        if losses[-1] <= _SIZE_DB:
            return
    if losses:
        disqualify(
            f"at the timed size its image is {min(losses):.2f} dB worse than at the scored one: it does less when timed"
        )


def _loss_db(scored: Image, timed: Image, truth: Image) -> float:
    """Return by how much `timed` is worse, beyond rounding and away from borders, dB."""
    inner = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER] if min(truth.shape[:2]) > 4 * _BORDER else np.s_[:, :]
    errors = [float(np.square(image[inner].astype(np.float32) - truth[inner]).mean()) for image in (scored, timed)]
    return 10 * math.log10(max(errors[1] - 1, 1e-3) / max(errors[0], 1e-3))


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
    for settling_s, length_s in _IDLE_LOOKS_S:
        cores = worker.idle_cores(settling_s, length_s)
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
    is_scored
        Whether its times are among the samples; those of warming up and of probes are not.
    """

    calls: int
    reported_ms: float
    wall_ms: float
    is_scored: bool = True

    @property
    def rest_ms(self) -> float:
        """What the request took beside the calls: transfer, conversion, checks, and what was hidden."""
        return self.wall_ms - self.reported_ms


def check_clocks(requests: Sequence[Request], trusted: Sequence[Request]) -> None:
    """Disqualify a worker whose reported times leave more of the controller's time unexplained than the anchor's do.

    A busy machine delays some requests; who forges the median forges most of those that are scored.

    Parameters
    ----------
    requests
        The submission's; judged are all of them, and those that are scored by themselves.
    trusted
        The anchor's, on frames of the same size.
    """
    for judged in ([request for request in requests if request.is_scored], requests):
        accusation = hidden_time(judged, trusted)
        if accusation:
            disqualify(accusation)


def hidden_time(requests: Sequence[Request], trusted: Sequence[Request], fewest: int = 3) -> str | None:
    """Return what most requests accuse a worker of; None where that is nothing, or where there are too few to tell.

    Parameters
    ----------
    requests, trusted
        As in :func:`check_clocks`.
    fewest
        Requests to judge by.
    """
    if len(requests) < fewest or not trusted:
        return None
    per_call = float(np.median([request.rest_ms / request.calls for request in trusted]))
    per_request = float(np.median([request.rest_ms for request in trusted]))

    def rest(request: Request) -> float:
        # Part of it belongs to a request and part to its calls; the anchor, which is fast, makes many in one.
        return max(per_request, per_call * request.calls)

    def allowed(request: Request) -> float:
        return _OVERHEAD_TIMES * rest(request) + _OVERHEAD_SHARE * request.reported_ms + _OVERHEAD_LEAST_MS

    suspicious = sorted((r for r in requests if r.rest_ms > allowed(r)), key=lambda request: request.rest_ms)
    if 2 * len(suspicious) <= len(requests):
        return None
    typical = suspicious[len(suspicious) // 2]
    return (
        f"the worker reports {typical.reported_ms:.3g} ms for {typical.calls} call(s), the controller's clock saw "
        f"{typical.wall_ms:.3g} ms, of which the harness's own part is about {rest(typical):.3g} ms"
    )


def alarms_note(alarms: int, calls: int) -> str | None:
    """Return what a reader must know where two clocks disagree; None where they seldom do, as on a busy host."""
    if alarms <= _FEW_ALARMS * calls:
        return None
    return f"the host's clock disagrees with the device's events in {alarms} of {calls} calls"


def check_alarms(alarms: int, calls: int) -> None:
    """Disqualify a network after whose timed calls the device goes on working, in most of the calls."""
    if calls and alarms > calls / 2:
        disqualify(f"the device went on working after {alarms} of {calls} timed calls: work outside the timed stream")
