"""A track: what a challenge demands of a network, and how it turns figures into a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.tracks.expression import Expression

Formula = Callable[[Any, Any, float], Any]
Floats = NDArray[np.float64]

FPS_BANDS = (24.0, 30.0, 60.0, 120.0)
"""Limits, in frames per second, of the colour bands in the 2023 report's tables."""


@dataclass(frozen=True, slots=True)
class Track:
    """The rules of one challenge at one scale.

    Attributes
    ----------
    name
        What a user types, for example ``ntire23-x2``.
    title
        The challenge in words.
    scale
        Upscaling factor.
    degradation
        Name of the degradation that makes LR from HR, for `harness.data.get_degradation`.
    input_shape
        N, C, H, W of the frame that is timed.
    score_formula
        The score in words that a reader can type into a calculator.
    formula
        ``formula(psnr, runtime_ms, reference_psnr)``: an `Expression`, which a run stores as text, or another function
        of three numbers, of which a run stores a table.
    official_bicubic
        PSNR of the interpolation that the challenge itself used, in dB, by the name under which the data set is
        registered.
    metric
        Which quality figure the score takes.
    convention
        Name of the convention by which that figure is computed.
    fps_bands
        Limits of the colour bands of a report, frames per second.
    higher_is_better
        The direction of the score.
    source
        Where the formula was read, or that it was fitted to published rows.
    """

    name: str
    title: str
    scale: int
    degradation: str
    input_shape: tuple[int, int, int, int]
    score_formula: str
    formula: Formula
    official_bicubic: Mapping[str, float] = field(default_factory=dict)
    metric: Literal["psnr_rgb", "psnr_y"] = "psnr_rgb"
    convention: str = "harness"
    fps_bands: tuple[float, ...] = FPS_BANDS
    higher_is_better: bool = True
    source: str = ""

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W of the timed frame, upscaled."""
        count, channels, height, width = self.input_shape
        return count, channels, height * self.scale, width * self.scale

    def score(self, psnr: float, runtime_ms: float, bicubic_psnr: float) -> float:
        """Return the score of one network.

        Parameters
        ----------
        psnr
            The figure that `metric` names, dB.
        runtime_ms
            Milliseconds of one forward pass at `input_shape`; must be positive.
        bicubic_psnr
            The same figure of the reference interpolation, dB.

        Raises
        ------
        ValueError
            The runtime is not positive.
        """
        if not runtime_ms > 0:
            raise ValueError(f"a runtime must be positive, not {runtime_ms} ms")
        return float(self.formula(psnr, runtime_ms, bicubic_psnr))

    def scores(self, psnr: Floats, runtime_ms: Floats, bicubic_psnr: float) -> Floats:
        """Return `score` of each PSNR with its runtime; the arguments have one shape, which the result has too."""
        if not isinstance(self.formula, Expression):
            pairs = zip(psnr.tolist(), runtime_ms.tolist(), strict=True)
            return np.array([self.score(*pair, bicubic_psnr) for pair in pairs])
        if not (runtime_ms > 0).all():
            raise ValueError(f"a runtime must be positive, not {runtime_ms.min()} ms")
        return np.asarray(self.formula(psnr, runtime_ms, bicubic_psnr))
