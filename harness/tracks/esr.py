"""Scores of the NTIRE efficient super-resolution challenges, 2024 to 2026: weighted sums of exponentials."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import UsageError

PSNR_GATES = (26.90, 26.99)
"""Minimum RGB PSNR in dB for a network to be ranked: on the validation set and on the test set."""


@dataclass(frozen=True, slots=True)
class EsrFigures:
    """Inputs of the score: runtime in ms, FLOPs in G (by fvcore, input 1x3x256x256), and parameters in millions."""

    runtime_ms: float
    flops_g: float
    params_m: float


@dataclass(frozen=True, slots=True)
class EsrScore:
    """Three partial scores, their weighted sum, and its decimal logarithm.

    The score grows exponentially and may have twenty digits for a slow network; tables should show `log10` as well.
    Scores above the largest float64, 1.8e308, are infinite; `log10` never is.
    """

    runtime: float
    flops: float
    params: float
    final: float
    log10: float


@dataclass(frozen=True, slots=True)
class EsrTrack:
    """Rules of the challenge in one year.

    Attributes
    ----------
    name, title
        Identifier, and title for display.
    baseline_name, baseline
        Network to which runtime, FLOPs and parameters are normalized, and its values.
    weights
        Weights of runtime, FLOPs and parameters in the final score.
    gpu
        GPU on which the runtime of the baseline was measured.
    score_formula
        Formula as text.
    higher_is_better
        Direction of the score.
    """

    name: str
    title: str
    baseline_name: str
    baseline: EsrFigures
    weights: tuple[float, float, float]
    gpu: str
    score_formula: str = "sum of weight * exp(2 * x / x_baseline) over runtime, FLOPs and parameters; lower is better"
    higher_is_better: bool = False

    def score(self, figures: EsrFigures) -> EsrScore:
        """Return the score of a network that passes the PSNR gate, as defined in the README of the challenge."""
        exponents = [2 * ratio for ratio in self.ratios(figures)]
        # The sum of exponentials is computed relative to the largest term, which cannot overflow.
        largest = max(exponents)
        total = sum(w * math.exp(one - largest) for w, one in zip(self.weights, exponents, strict=True))
        log10 = (largest + math.log(total)) / math.log(10)
        runtime, flops, params = parts = [_exp(one) for one in exponents]
        final = sum(w * part for w, part in zip(self.weights, parts, strict=True))
        return EsrScore(runtime, flops, params, final, log10)

    def ratios(self, figures: EsrFigures) -> tuple[float, float, float]:
        """Return runtime, FLOPs and parameters as multiples of the baseline's."""
        return (
            figures.runtime_ms / self.baseline.runtime_ms,
            figures.flops_g / self.baseline.flops_g,
            figures.params_m / self.baseline.params_m,
        )


def _exp(exponent: float) -> float:
    """Return the exponential, infinite where it exceeds the largest float64."""
    try:
        return math.exp(exponent)
    except OverflowError:
        return math.inf


def passes_gate(psnr_validation: float, psnr_test: float) -> bool:
    """Return whether the RGB PSNR in dB, rounded to two decimals, reaches both thresholds of :data:`PSNR_GATES`."""
    # The challenge compares printed values, so 26.896 passes the threshold 26.90.
    return round(psnr_validation, 2) >= PSNR_GATES[0] and round(psnr_test, 2) >= PSNR_GATES[1]


ESR_TRACKS = {
    track.name: track
    for track in (
        EsrTrack(
            "ntire-esr-2024",
            "NTIRE 2024 Efficient Super-Resolution",
            "RLFN",
            EsrFigures(13.54, 19.67, 0.317),
            (0.70, 0.15, 0.15),
            "RTX 3090",
        ),
        EsrTrack(
            "ntire-esr-2025",
            "NTIRE 2025 Efficient Super-Resolution",
            "EFDN",
            EsrFigures(16.69, 16.70, 0.276),
            (0.70, 0.15, 0.15),
            "RTX A6000",
        ),
        EsrTrack(
            "ntire-esr-2026",
            "NTIRE 2026 Efficient Super-Resolution",
            "SPAN",
            EsrFigures(7.74, 9.83, 0.151),
            (0.80, 0.10, 0.10),
            "RTX A6000",
        ),
    )
}


def get_esr_track(name: str) -> EsrTrack:
    """Return the rules of one year by name, such as ``ntire-esr-2024``.

    Raises
    ------
    UsageError
        If there is no track of this name.
    """
    if name not in ESR_TRACKS:
        raise UsageError(f"no ESR track is called {name!r}", hint=f"choose one of: {', '.join(ESR_TRACKS)}")
    return ESR_TRACKS[name]
