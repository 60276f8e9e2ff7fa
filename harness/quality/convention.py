"""Conventions of PSNR and SSIM: the choices that papers often do not state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import UsageError
from harness.quality.luma import BT601, BT601_ROUNDED, FULL_RANGE, SWAPPED, Luma
from harness.quality.window import GAUSSIAN, UNIFORM, Window
from harness.suggestions import choice


@dataclass(frozen=True, slots=True)
class Convention:
    """One way to compute PSNR and SSIM of two 8-bit images.

    Attributes
    ----------
    name
        Identifier on the command line and in results.
    origin
        Challenge, paper or program that uses the convention.
    luma
        Conversion from RGB to Y.
    window
        Window of SSIM.
    border
        Number of pixels cropped from each side before the computation; ``"scale"`` for the upscaling factor.
    average
        Whether PSNR is averaged over images, or computed from the mean squared error averaged over images.
    jpeg_decoder
        JPEG library with which the LR images must be produced to reproduce published values, or ``"any"``.
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
        """Description of the convention in one sentence."""
        return (
            f"{self.name} ({self.origin}): PSNR and SSIM on 8-bit RGB and on {self.luma.description}; "
            f"SSIM window {self.window.description}, valid region, mean over channels; {self._border_phrase()}; "
            f"{self.average} over images{self._jpeg_phrase()}."
        )

    def _border_phrase(self) -> str:
        if self.border == "scale":
            return "a border of as many pixels as the scale is cropped"
        return f"a border of {self.border} pixels is cropped" if self.border else "no border is cropped"

    def _jpeg_phrase(self) -> str:
        return "" if self.jpeg_decoder == "any" else f"; with LR images compressed by {self.jpeg_decoder}"

    def border_at(self, scale: int | None) -> int:
        """Return the border in pixels.

        Raises
        ------
        UsageError
            If the border depends on the scale, and `scale` is None.
        """
        if self.border != "scale":
            return self.border
        # 0 is no substitute: the values would be those of another convention, without a message.
        if scale is None:
            raise UsageError(
                f"convention {self.name} crops a border as wide as the scale, which is not given", hint="pass the scale"
            )
        return scale

    def least_side(self, scale: int | None) -> int:
        """Return the rows and columns that an image must have at least, so that SSIM's window fits inside the border.

        Raises
        ------
        UsageError
            If the border depends on the scale, and `scale` is None.
        """
        return len(self.window.taps) + 2 * self.border_at(scale)


# Origins: MATLAB's rgb2ycbcr and the border crop come from the evaluation code of SRCNN (Dong et al., ECCV 2014). The
# scripts of NTIRE 2023 pass RGB images to BasicSR's conversion for BGR, which swaps the weights of red and blue.
CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("harness", "this project's default"),
        Convention("ntire23", "the scripts of the NTIRE 2023 real-time challenge", luma=SWAPPED),
        Convention(
            "lrsrn",
            "reproduces the benchmark table of the LRSRN poster",
            luma=FULL_RANGE,
            window=UNIFORM,
            jpeg_decoder="libjpeg 9",
        ),
        Convention("matlab", "the classic benchmarks since SRCNN", luma=BT601, border="scale"),
        Convention("matlab-uint8", "the classic benchmarks with 8-bit rgb2ycbcr", luma=BT601_ROUNDED, border="scale"),
        Convention("ntire-esr", "the NTIRE efficient super-resolution challenges", border=4),
        Convention("basicsr", "BasicSR with its usual crop_border", border="scale"),
    )
}
DEFAULT = CONVENTIONS["harness"]


def get_convention(convention: str | Convention) -> Convention:
    """Return a convention by name; a `Convention` is returned unchanged.

    Raises
    ------
    UsageError
        If there is no convention of this name.
    """
    if isinstance(convention, Convention):
        return convention
    if convention not in CONVENTIONS:
        raise UsageError(f"no convention is called {convention!r}", hint=choice(convention, CONVENTIONS))
    return CONVENTIONS[convention]
