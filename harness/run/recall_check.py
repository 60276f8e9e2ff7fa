"""Find networks whose weights hold the scored images.

A network that has learned to upscale gains about as much over bicubic interpolation on a part of an image as on the
same part shifted by a fraction of an LR pixel, flipped or rotated, and degraded anew. A network that looks up the
images that are scored does not. The controller makes such variants while the images are upscaled, by the same request.
``docs/cheats.md`` says what this proves and what not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from harness.data import Dataset
from harness.data.degradation import degrade
from harness.errors import DISQUALIFIED, WorkerError
from harness.machine.quiet import QUIET_HOURS
from harness.quality import upscale_bicubic
from harness.results.measurement import ImageQuality, RecallFigures

Image = NDArray[np.uint8]
Upscale = Callable[[int, Image], Image]

_SHARE = 0.05  # of the pixels that are upscaled anyway
_MOST = 8  # variants
_SIDE = (64, 128)  # least and largest side of a variant's LR image, pixels
_BORDER = 8  # LR pixels at a variant's edge, where the network does not see what it sees within the whole image
_CANDIDATES = 8  # places of which the one with most detail is taken
_LEAST_ERROR = 1.0  # squared levels; below it, rounding decides how much a network gains over bicubic
_CAP_DB = 60.0

# A drop is the gain on the image minus the gain on the variant.
_ALLOWED_DROP_DB = 1.0
_ALLOWED_SHARE = 0.4  # of the gain on the images
_SINGLE_DROP_DB = 6.0

_SUSPICIOUS_DB = 45.0
_NOISE_MARGIN_DB = 10.0


@dataclass(frozen=True, slots=True)
class Gain:
    """Gains over bicubic interpolation in dB, at one place of an image and on a variant of it."""

    image: float
    variant: float

    @property
    def drop(self) -> float:
        """By how much the gain is smaller on the variant."""
        return self.image - self.variant


@dataclass(slots=True)
class RecallCheck:
    """Compares the gain of one network on parts of the images with that on variants of them.

    Attributes
    ----------
    dataset
        The scored images.
    size_multiple
        Sides of LR images are multiples of this, if it is small.
    rng
        Draws images, places and variants.
    """

    dataset: Dataset
    size_multiple: int = 1
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    # Drawn when first needed, because their number depends on the size of the images.
    _chosen: frozenset[int] | None = None
    _gains: list[Gain] = field(default_factory=list)

    def watched(self, upscale: Upscale) -> Upscale:
        """Return a function that upscales as `upscale` does, and also a variant of some of the images."""

        def upscale_both(index: int, lr: Image) -> Image:
            if index not in self._indices():
                return upscale(index, lr)
            sr, gain = self._compare(upscale, index, lr)
            self._gains += [] if gain is None else [gain]
            return sr

        return upscale_both

    def judge(self, images: Sequence[ImageQuality], upscale: Upscale) -> RecallFigures:
        """Return what was found, after a second look with new variants if the first one is suspicious.

        Parameters
        ----------
        images
            Quality of every image, in order.
        upscale
            The network.

        Raises
        ------
        WorkerError
            Of the kind `DISQUALIFIED`: an image is better than the degradation allows, or the gain vanishes on
            variants.
        """
        self._check_bound(images)
        if _is_foul(self._gains):
            pairs = [(index, self.dataset.pair(index)[0]) for index in sorted(self._indices())]
            # The same images with parts and turns drawn anew: an honest network rarely fails on both.
            again = [gain for index, lr in pairs if (gain := self._compare(upscale, index, lr)[1]) is not None]
            if _is_foul(again):
                _disqualify(
                    f"on parts of the images it gains {fmean(one.image for one in again):.2f} dB over bicubic, but "
                    f"{fmean(one.variant for one in again):.2f} dB where the same parts are shifted, flipped and "
                    "degraded anew: it knows the images"
                )
            # The second look found nothing, so the network passes. The reader sees the mean of both.
            self._gains += again
        return _figures(self._gains)

    def _indices(self) -> frozenset[int]:
        """Return which images have a variant: as many as the share of pixels permits."""
        if self._chosen is None:
            count = len(self.dataset)
            height, width, _ = self.dataset.pair(0)[0].shape
            # Number of the smallest variants that the share of all pixels covers.
            # At least one image and at most eight have a variant, whatever the share permits.
            affordable = int(_SHARE * count * height * width / _SIDE[0] ** 2)
            number = max(1, min(_MOST, count, affordable))
            self._chosen = frozenset(self.rng.choice(count, number, replace=False).tolist())
        return self._chosen

    @QUIET_HOURS.work()
    def _compare(self, upscale: Upscale, index: int, lr: Image) -> tuple[Image, Gain | None]:
        """Upscale an image and a variant of a part of it; the gain is None where the image is tiny or has no detail."""
        hr = self.dataset.pair(index)[1]
        part = self._draw_part(lr, hr)
        if min(one.stop - one.start for one in part) <= 3 * _BORDER * self.dataset.scale:
            return upscale(index, lr), None  # hardly anything is left inside of the border
        turn = self._draw_turn(part)
        truth = np.ascontiguousarray(turn(hr[part]))
        variant_lr = self._degraded(truth, turn, lr, part)
        if self.rng.random() < 0.5:  # the network cannot know which of the two comes first
            variant, sr = upscale(index, variant_lr), upscale(index, lr)
        else:
            sr, variant = upscale(index, lr), upscale(index, variant_lr)
        scale = self.dataset.scale
        inner = np.s_[_BORDER * scale : -_BORDER * scale, _BORDER * scale : -_BORDER * scale]
        # Gains over bicubic are compared, not PSNR: a variant may be easier or harder than the part it was made of.
        references = [turn(_bicubic_part(lr, part, scale)), upscale_bicubic(variant_lr, scale)]
        errors = [_error(one[inner], truth[inner]) for one in (*references, turn(sr[part]), variant)]
        # Bicubic is almost exact there, so that a gain says nothing.
        if min(errors[:2]) < _LEAST_ERROR:
            return sr, None
        return sr, Gain(_psnr(errors[2]) - _psnr(errors[0]), _psnr(errors[3]) - _psnr(errors[1]))

    def _draw_part(self, lr: Image, hr: Image) -> tuple[slice, slice]:
        """Draw a part of the HR image with much detail; of images that are degraded here, one off the LR grid."""
        scale = self.dataset.scale
        sides = [scale * self._side(lr, length) for length in lr.shape[:2]]
        free = [length - side for length, side in zip(hr.shape[:2], sides, strict=True)]
        best, most = (slice(0, sides[0]), slice(0, sides[1])), -1.0
        for _ in range(_CANDIDATES):
            corner = [int(self.rng.integers(0, room + 1)) for room in free]
            # A given LR image cannot be degraded anew, so its variant is cut on the LR grid and then flipped or turned.
            if not self.dataset.is_degraded_here:
                corner = [start // scale * scale for start in corner]
            # On the LR grid, the variant would have the LR pixels of the image itself.
            elif all(start % scale == 0 for start in corner):
                corner = [min(start + 1, room) for start, room in zip(corner, free, strict=True)]
            part = (slice(corner[0], corner[0] + sides[0]), slice(corner[1], corner[1] + sides[1]))
            # The green channel stands for the brightness.
            detail = float(np.abs(np.diff(hr[part][:, :, 1].astype(np.int16))).mean())
            if detail > most:
                best, most = part, detail
        return best

    def _side(self, lr: Image, length: int) -> int:
        """Return a side of a variant's LR image in pixels: a multiple of 16 and, if it is small, of the network's."""
        # Side of a square such that all variants together have the share of all LR pixels.
        share = math.sqrt(_SHARE * lr.shape[0] * lr.shape[1] * len(self.dataset) / len(self._indices()))
        multiple = math.lcm(16, self.size_multiple)
        step = multiple if multiple <= _SIDE[0] else 16
        side = int(min(max(share, _SIDE[0]), _SIDE[1])) // step * step
        return min(side, length)

    def _draw_turn(self, part: tuple[slice, slice]) -> Callable[[Image], Image]:
        """Draw a flip or a rotation. Parts that are not square, and LR images from elsewhere, are flipped only."""
        flip, quarters = bool(self.rng.integers(0, 2)), int(self.rng.integers(0, 4))
        square = part[0].stop - part[0].start == part[1].stop - part[1].start
        if not (square and self.dataset.is_degraded_here):
            # A half turn keeps the shape of the part.
            quarters = quarters // 2 * 2
        # Never the identity: a part of a given LR image would then be its own variant.
        if not flip and quarters == 0:
            flip = True

        def turn(image: Image) -> Image:
            turned = np.rot90(image, quarters)
            return turned[:, ::-1] if flip else turned

        return turn

    def _degraded(self, truth: Image, turn: Callable[[Image], Image], lr: Image, part: tuple[slice, slice]) -> Image:
        """Return the LR image of a variant: degraded anew, or cut from the LR image that is given."""
        scale = self.dataset.scale
        if self.dataset.is_degraded_here:
            return degrade(truth, scale, self.dataset.degradation)
        rows, columns = (slice(one.start // scale, one.stop // scale) for one in part)
        return np.ascontiguousarray(turn(lr[rows, columns]))

    @QUIET_HOURS.work()
    def _check_bound(self, images: Sequence[ImageQuality]) -> None:
        """Disqualify a network with an image that contains noise which cannot be inferred from the LR image."""
        for index, image in enumerate(images):
            if image.psnr_rgb > _SUSPICIOUS_DB:
                bound = highest_psnr(self.dataset.pair(index)[1], self.dataset.scale)
                if image.psnr_rgb > bound:
                    _disqualify(
                        f"image {image.image} reaches {image.psnr_rgb:.1f} dB, but the noise that the degradation "
                        f"removes from it allows {bound:.1f} dB at most: it knows the image"
                    )


def highest_psnr(hr: Image, scale: int) -> float:
    """Return the highest PSNR in dB that a network may reach; infinite for images without noise.

    The finest diagonal details (Haar wavelets) lie beyond the frequencies of the LR image. Their median magnitude is
    that of noise and texture everywhere in the image, which edges, that a network can infer, do not change. What is
    lost is at least this noise in the share of all frequencies that the LR image lacks; a tenth of it is demanded.

    Parameters
    ----------
    hr
        H x W x 3, uint8.
    scale
        Upscaling factor, 2 or more.
    """
    height, width = (side // 2 * 2 for side in hr.shape[:2])
    pixels = hr[:height, :width].astype(np.int16)
    # The diagonal band of an orthonormal Haar transform: white noise keeps its standard deviation in it.
    details = (pixels[::2, ::2] - pixels[::2, 1::2] - pixels[1::2, ::2] + pixels[1::2, 1::2]) / 2
    # Of whole numbers the median magnitude is 0 or at least 1/2, hence the mean of the smaller half in its place.
    magnitudes = np.sort(np.abs(details), axis=None)[: details.size // 2]
    deviation = float(magnitudes.mean()) / 0.3247 if details.size else 0.0  # 0.3247: for a normal distribution of 1
    # 1 / scale**2 of all frequencies remain in the LR image.
    lost = deviation**2 * (1 - 1 / scale**2)
    # Images without noise, such as drawings, have no bound.
    return math.inf if lost < 0.1 else 10 * math.log10(255**2 / lost) + _NOISE_MARGIN_DB


def _is_foul(gains: Sequence[Gain]) -> bool:
    """Return whether the gain falls by more than the variants of any honest network do."""
    if not gains:
        return False
    single = max(one.drop for one in gains)
    mean = fmean(one.drop for one in gains)
    return single > _SINGLE_DROP_DB or mean > _allowed_drop(fmean(one.image for one in gains))


def doubts(figures: RecallFigures) -> list[str]:
    """Return a note for the reader if a gain falls by half of what disqualifies, else nothing."""
    if figures.gain_db is None or figures.variant_gain_db is None:
        return []
    if figures.gain_db - figures.variant_gain_db <= _allowed_drop(figures.gain_db) / 2:
        return []
    gains = f"{figures.gain_db:.2f} dB over bicubic on parts of the images, but {figures.variant_gain_db:.2f} dB"
    return [f"gains {gains} on {figures.variants} variants of these parts: it may know the images"]


def _allowed_drop(gain_db: float) -> float:
    return max(_ALLOWED_DROP_DB, _ALLOWED_SHARE * gain_db)


def _figures(gains: Sequence[Gain]) -> RecallFigures:
    if not gains:
        return RecallFigures(variants=0)
    image, variant = fmean(one.image for one in gains), fmean(one.variant for one in gains)
    return RecallFigures(variants=len(gains), gain_db=image, variant_gain_db=variant)


def _bicubic_part(lr: Image, part: tuple[slice, slice], scale: int) -> Image:
    """Return a part of the bicubic image, computed from the LR pixels around it."""
    # More pixels than the kernel reaches, so that the part is equal to that of the whole image.
    starts = [max(0, one.start // scale - 4) for one in part]
    stops = [-(-one.stop // scale) + 4 for one in part]
    upscaled = upscale_bicubic(np.ascontiguousarray(lr[starts[0] : stops[0], starts[1] : stops[1]]), scale)
    rows, columns = (
        slice(one.start - scale * start, one.stop - scale * start) for one, start in zip(part, starts, strict=True)
    )
    return upscaled[rows, columns]


def _error(image: Image, truth: Image) -> float:
    return float(np.square(image.astype(np.float64) - truth).mean())


def _psnr(error: float) -> float:
    return min(_CAP_DB, 10 * math.log10(255**2 / max(error, 1e-9)))


def _disqualify(message: str) -> NoReturn:
    raise WorkerError(message, stage="upscale", kind=DISQUALIFIED)
