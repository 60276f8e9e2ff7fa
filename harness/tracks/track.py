"""Define a track: the conditions under which a challenge measures a network, and its score."""

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
"""Limits of the colour bands in the tables of the NTIRE 2023 report, in frames per second."""


@dataclass(frozen=True, slots=True)
class Track:
    """Rules of one challenge at one scale.

    Attributes
    ----------
    name
        Identifier on the command line, for example ``ntire23-x2``.
    title
        Title for display.
    scale
        Upscaling factor.
    degradation
        Name of the degradation that produces LR from HR images, for `harness.data.get_degradation`.
    input_shape
        N, C, H, W of the frame that is timed.
    score_formula
        Formula as text, for display.
    formula
        ``formula(psnr, runtime_ms, reference_psnr)``: an `Expression`, which a run stores as text, or another function
        of three numbers, of which a run stores a table.
    official_bicubic
        PSNR in dB of the reference interpolation according to the challenge, by name of the registered data set.
    metric
        Quality metric that enters the score.
    convention
        Name of the convention by which the metric is computed.
    fps_bands
        Limits of the colour bands of a report, in frames per second.
    higher_is_better
        Direction of the score.
    source
        Source of the formula, or a statement that it was fitted to published rows.
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
        """N, C, H, W of the upscaled timed frame."""
        count, channels, height, width = self.input_shape
        return count, channels, height * self.scale, width * self.scale

    def score(self, psnr: float, runtime_ms: float, bicubic_psnr: float) -> float:
        """Return the score of one network.

        Parameters
        ----------
        psnr
            Value of the quality metric `metric` in dB.
        runtime_ms
            Runtime of one forward pass at `input_shape` in milliseconds; must be positive.
        bicubic_psnr
            Value of the same metric for the reference interpolation in dB.

        Raises
        ------
        ValueError
            If the runtime is not positive.
        """
        if not runtime_ms > 0:  # also true for NaN
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
