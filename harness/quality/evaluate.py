"""The public way to measure: PSNR, SSIM, and all four figures of a pair under a named convention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from harness.errors import UsageError
from harness.quality.convention import DEFAULT, Convention, get_convention
from harness.quality.luma import LUMAS, Luma
from harness.quality.pair import make_pair
from harness.quality.reference import mse_of, psnr_of
from harness.quality.window import GAUSSIAN, Window

if TYPE_CHECKING:
    from harness.quality.pair import Image

Colour = Literal["rgb", "y"]


@dataclass(frozen=True, slots=True)
class Quality:
    """Four figures of one SR image against its HR image.

    Attributes
    ----------
    psnr_rgb, psnr_y
        dB; infinite where the images (or their lumas) are identical.
    ssim_rgb, ssim_y
        At most 1, which means identical.
    """

    psnr_rgb: float
    psnr_y: float
    ssim_rgb: float
    ssim_y: float


def psnr(sr: Image, hr: Image, *, colour: Colour = "rgb", y_convention: str = "bt601", border: int = 0) -> float:
    """Return the peak signal-to-noise ratio of two 8-bit images, 10 log10(255^2 / MSE), in dB.

    Parameters
    ----------
    sr, hr
        H x W x 3 uint8 RGB arrays (or H x W greyscale), or torch tensors: uint8, or floating point in [0, 1] as
        (1 x) 3 x H x W, which are rounded to 8 bits.
    colour
        ``rgb`` for the error over all three channels, ``y`` for luma.
    y_convention
        What luma means: ``bt601``, ``bt601-rounded``, ``full-range`` or ``ntire23`` (see `harness.quality.luma`).
    border
        Pixels left out at each side.

    Returns
    -------
    float
        dB, from exact integer sums; infinite for identical images.

    Raises
    ------
    DataError
        The images differ in size or are not 8-bit RGB.
    """
    both = make_pair(sr, hr, border)
    return psnr_of(both.mse_rgb() if colour == "rgb" else both.mse_luma(get_luma(y_convention)))


def ssim(
    sr: Image,
    hr: Image,
    *,
    colour: Colour = "rgb",
    y_convention: str = "bt601",
    window: Window = GAUSSIAN,
    border: int = 0,
    threads: int | None = None,
) -> float:
    """Return the structural similarity (Wang et al., 2004) of two 8-bit images, mean over channels and positions.

    Parameters
    ----------
    sr, hr, colour, y_convention, border
        As for `psnr`.
    window
        Where local means are taken; Gaussian 11x11 with sigma 1.5 by default, valid positions only.
    threads
        Threads to use; by default all cores for large images. The result does not depend on it.

    Raises
    ------
    DataError
        The images differ in size, are not 8-bit RGB, or are smaller than the window.
    """
    both = make_pair(sr, hr, border, threads)
    if colour == "rgb":
        return both.ssim_rgb(window)
    return both.ssim_luma(window, get_luma(y_convention))


def get_luma(name: str) -> Luma:
    """Return a luma by name.

    Raises
    ------
    UsageError
        There is no such luma.
    """
    if name not in LUMAS:
        raise UsageError(f"no luma is called {name!r}", hint=f"choose one of: {', '.join(LUMAS)}")
    return LUMAS[name]


def evaluate_pair(
    sr: Image,
    hr: Image,
    convention: str | Convention = DEFAULT,
    *,
    y_convention: str | None = None,
    scale: int | None = None,
    threads: int | None = None,
) -> Quality:
    """Return PSNR and SSIM, on RGB and on luma, of one pair.

    Parameters
    ----------
    sr, hr
        As for `psnr`; a device tensor is measured on its device.
    convention
        A convention or its name.
    y_convention
        A luma that replaces the convention's.
    scale
        Upscaling factor, for conventions that cut a border as wide.
    threads
        As for `ssim`.

    Raises
    ------
    DataError
        The images differ in size, are not 8-bit RGB, or are smaller than SSIM's window.
    UsageError
        No such convention, or it needs a scale.
    """
    rules = get_convention(convention)
    luma = rules.luma if y_convention is None else get_luma(y_convention)
    both = make_pair(sr, hr, rules.border_at(scale), threads)
    return Quality(
        psnr_rgb=psnr_of(both.mse_rgb()),
        psnr_y=psnr_of(both.mse_luma(luma)),
        ssim_rgb=both.ssim_rgb(rules.window),
        ssim_y=both.ssim_luma(rules.window, luma),
    )


def average(qualities: Sequence[Quality], convention: str | Convention = DEFAULT) -> Quality:
    """Return the mean over images, by the convention's rule for PSNR.

    Raises
    ------
    UsageError
        There are no figures.
    """
    if not qualities:
        raise UsageError("no images to average over")
    return Quality(
        psnr_rgb=_mean_psnr([quality.psnr_rgb for quality in qualities], convention),
        psnr_y=_mean_psnr([quality.psnr_y for quality in qualities], convention),
        ssim_rgb=fmean(quality.ssim_rgb for quality in qualities),
        ssim_y=fmean(quality.ssim_y for quality in qualities),
    )


def _mean_psnr(psnrs: list[float], convention: str | Convention) -> float:
    if get_convention(convention).average == "mean of PSNRs":
        return fmean(psnrs)
    return psnr_of(fmean(map(mse_of, psnrs)))
