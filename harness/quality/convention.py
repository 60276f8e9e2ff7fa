"""Conventions as data: everything that a paper's "PSNR" and "SSIM" leave unsaid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import UsageError
from harness.quality.luma import BT601, BT601_ROUNDED, FULL_RANGE, SWAPPED, Luma
from harness.quality.window import GAUSSIAN, UNIFORM, Window


@dataclass(frozen=True, slots=True)
class Convention:
    """One way to compute PSNR and SSIM of two 8-bit images.

    Attributes
    ----------
    name
        What a user types.
    origin
        Whose convention it is.
    luma
        What "Y" means.
    window
        The window of SSIM.
    border
        Pixels cut off at each side before anything is computed; ``"scale"`` for as many as the scale.
    average
        Mean over images of the PSNRs, or the PSNR of the mean squared error over all images.
    jpeg_decoder
        The JPEG library that must have made the LR images for published figures to come out.
    """

    name: str
    origin: str
    luma: Luma = BT601
    window: Window = GAUSSIAN
    border: int | Literal["scale"] = 0
    average: Literal["mean of PSNRs", "PSNR of the mean MSE"] = "mean of PSNRs"
    jpeg_decoder: str = "any"

    @property
    def sentence(self) -> str:
        """The whole convention in one sentence, for a reader of results."""
        return (
            f"{self.name} ({self.origin}): PSNR and SSIM on 8-bit RGB and on {self.luma.description}; "
            f"SSIM window {self.window.description}, valid region, mean over channels; {self._border_phrase()}; "
            f"{self.average} over images{self._jpeg_phrase()}."
        )

    def _border_phrase(self) -> str:
        if self.border == "scale":
            return "a border of as many pixels as the scale is cut off"
        return f"a border of {self.border} pixels is cut off" if self.border else "no border is cut off"

    def _jpeg_phrase(self) -> str:
        return "" if self.jpeg_decoder == "any" else f"; with LR images as {self.jpeg_decoder} compresses them"

    def border_at(self, scale: int | None) -> int:
        """Return the border in pixels.

        Raises
        ------
        UsageError
            The border depends on the scale, and `scale` is None.
        """
        if self.border != "scale":
            return self.border
        if scale is None:
            raise UsageError(f"convention {self.name} cuts a border as wide as the scale", hint="say the scale")
        return scale


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("harness", "this project's default"),
        Convention("ntire23", "the scripts of the NTIRE 2023 real-time challenge", luma=SWAPPED),
        Convention(
            "lrsrn",
            "what reproduces the LRSRN poster's benchmark table",
            luma=FULL_RANGE,
            window=UNIFORM,
            jpeg_decoder="libjpeg 9",
        ),
        Convention("matlab", "the classic benchmarks since SRCNN", luma=BT601, border="scale"),
        Convention("matlab-uint8", "the classic with MATLAB's 8-bit rgb2ycbcr", luma=BT601_ROUNDED, border="scale"),
        Convention("ntire-esr", "the NTIRE efficient super-resolution challenges", border=4),
        Convention("basicsr", "BasicSR with its usual crop_border", border="scale"),
    )
}
DEFAULT = CONVENTIONS["harness"]


def get_convention(convention: str | Convention) -> Convention:
    """Return a convention by name, or as given.

    Raises
    ------
    UsageError
        There is no such convention.
    """
    if isinstance(convention, Convention):
        return convention
    if convention not in CONVENTIONS:
        raise UsageError(f"no convention is called {convention!r}", hint=f"choose one of: {', '.join(CONVENTIONS)}")
    return CONVENTIONS[convention]
