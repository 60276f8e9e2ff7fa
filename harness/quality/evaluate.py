"""Public functions for PSNR and SSIM of an image pair, separately or together under a named convention."""

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
from harness.suggestions import choice

if TYPE_CHECKING:
    from harness.quality.pair import Image

Colour = Literal["rgb", "y"]


@dataclass(frozen=True, slots=True)
class Quality:
    """PSNR and SSIM of one SR image with respect to its HR image, on RGB and on luma.

    Attributes
    ----------
    psnr_rgb, psnr_y
        PSNR in dB; ``inf`` if the images (or their luma) are identical.
    ssim_rgb, ssim_y
        SSIM, at most 1; 1 if the images (or their luma) are identical.
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
        RGB images as uint8 arrays of shape (H, W, 3), or greyscale images of shape (H, W). Also torch tensors: uint8,
        or floating point in [0, 1] of shape (3, H, W) or (1, 3, H, W), which are rounded to 8 bits.
    colour
        ``rgb`` for the mean squared error over all three channels, ``y`` for that of luma.
    y_convention
        Definition of luma: ``bt601``, ``bt601-rounded``, ``full-range`` or ``ntire23`` (see `harness.quality.luma`).
    border
        Number of pixels to crop from each side.

    Returns
    -------
    float
        PSNR in dB, computed from exact integer sums for RGB; ``inf`` for identical images.

    Raises
    ------
    DataError
        If the images differ in size or are not 8-bit RGB.
    """
    pair = make_pair(sr, hr, border)
    return psnr_of(pair.mse_rgb() if colour == "rgb" else pair.mse_luma(get_luma(y_convention)))


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
    """Return the structural similarity (SSIM) of two 8-bit images, averaged over channels and window positions.

    Parameters
    ----------
    sr, hr, colour, y_convention, border
        As for `psnr`.
    window
        Window of the local moments, applied at valid positions only. The default is an 11x11 Gaussian with sigma 1.5.
    threads
        Number of threads; by default all cores for large images. The result does not depend on it.

    Raises
    ------
    DataError
        If the images differ in size, are not 8-bit RGB, or are smaller than the window.

    References
    ----------
    Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity",
    IEEE Transactions on Image Processing 13(4), 2004.
    """
    pair = make_pair(sr, hr, border, threads)
    if colour == "rgb":
        return pair.ssim_rgb(window)
    return pair.ssim_luma(window, get_luma(y_convention))


def get_luma(name: str) -> Luma:
    """Return a definition of luma by name.

    Raises
    ------
    UsageError
        If there is no luma of this name.
    """
    if name not in LUMAS:
        raise UsageError(f"no luma is called {name!r}", hint=choice(name, LUMAS))
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
    """Return PSNR and SSIM, on RGB and on luma, of one image pair.

    Parameters
    ----------
    sr, hr
        As for `psnr`; tensors on an accelerator are evaluated there.
    convention
        A convention or its name.
    y_convention
        Name of a luma that replaces that of the convention.
    scale
        Upscaling factor, required by conventions that crop a border of this width.
    threads
        As for `ssim`.

    Raises
    ------
    DataError
        If the images differ in size, are not 8-bit RGB, or are smaller than the window of SSIM.
    UsageError
        If there is no such convention or luma, or the convention requires a scale.
    """
    chosen = get_convention(convention)
    luma = chosen.luma if y_convention is None else get_luma(y_convention)
    # One pair serves all four figures, so that the images are converted once.
    pair = make_pair(sr, hr, chosen.border_at(scale), threads)
    return Quality(
        psnr_rgb=psnr_of(pair.mse_rgb()),
        psnr_y=psnr_of(pair.mse_luma(luma)),
        ssim_rgb=pair.ssim_rgb(chosen.window),
        ssim_y=pair.ssim_luma(chosen.window, luma),
    )


def average(qualities: Sequence[Quality], convention: str | Convention = DEFAULT) -> Quality:
    """Return the mean over images; `Convention.average` determines how PSNR is averaged.

    Raises
    ------
    UsageError
        If `qualities` is empty.
    """
    if not qualities:
        raise UsageError("no images to average over")
    return Quality(
        psnr_rgb=mean_psnr([quality.psnr_rgb for quality in qualities], convention),
        psnr_y=mean_psnr([quality.psnr_y for quality in qualities], convention),
        ssim_rgb=fmean(quality.ssim_rgb for quality in qualities),
        ssim_y=fmean(quality.ssim_y for quality in qualities),
    )


def mean_psnr(psnrs: Sequence[float], convention: str | Convention = DEFAULT) -> float:
    """Return the mean over images of PSNRs in dB, as the convention averages them."""
    # By Jensen's inequality, the mean of PSNRs is never lower than the PSNR of the mean error.
    if get_convention(convention).average == "mean of PSNRs":
        return fmean(psnrs)
    # PSNR is inverted to get the errors back; identical images (inf dB) contribute an error of 0.
    return psnr_of(fmean(map(mse_of, psnrs)))
