"""The classes of speed of the NTIRE 2023 report: slower than film, film, television, smooth, faster than screens."""

from dataclasses import dataclass

from harness.tracks import FPS_BANDS


@dataclass(frozen=True, slots=True)
class Band:
    """One class of frames per second: ``low`` belongs to it, ``high`` does not."""

    index: int
    low: float
    high: float

    @property
    def label(self) -> str:
        """The band in words, such as ``30-60 fps``."""
        if self.low == 0:
            return f"< {self.high:.0f} fps"
        return f"> {self.low:.0f} fps" if self.high == float("inf") else f"{self.low:.0f}\N{EN DASH}{self.high:.0f} fps"


BANDS = tuple(
    Band(index, low, high)
    for index, (low, high) in enumerate(zip((0.0, *FPS_BANDS), (*FPS_BANDS, float("inf")), strict=True))
)


def band_of(fps: float) -> Band:
    """Return the band that a frame rate lies in."""
    return next(band for band in BANDS if fps < band.high or band is BANDS[-1])
