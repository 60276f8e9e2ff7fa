"""Score formulas of the challenges, each with its source.

PSNR is in dB and runtime in milliseconds. Both may be arrays of equal shape, which are scored elementwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Number = float | NDArray[np.float64]


def ntire23(psnr: Number, runtime_ms: Number, bicubic_psnr: float) -> Number:
    """Return the NTIRE 2023 real-time score: 2^(psnr - bicubic) * 2 / (0.1 * sqrt(ms)), or 0 if psnr <= bicubic.

    Source: the challenge's ``demo/calc_scoring.ipynb`` (eduardzamfir/NTIRE23-RTSR); PSNR is on RGB.
    """
    # [()] converts the 0-d array that np.where returns for scalars to a scalar.
    score: Number = np.where(psnr > bicubic_psnr, ais2024(psnr, runtime_ms, bicubic_psnr), 0.0)[()]
    return score


def ais2024(psnr: Number, runtime_ms: Number, lanczos_psnr: float) -> Number:
    """Return the AIS 2024 real-time score: 2^(psnr - lanczos) * 2 / (0.1 * sqrt(ms)), without a lower limit.

    The code of the challenge is not published. This formula is a fit that reproduces the seven published scores to two
    decimals if `psnr` and `lanczos_psnr` are PSNR on Y averaged over the two published quality levels.
    """
    score: Number = np.exp2(psnr - lanczos_psnr) * 2.0 / (0.1 * np.sqrt(runtime_ms))
    return score


def mai2021(psnr: Number, runtime_ms: Number, _bicubic_psnr: float = 0.0) -> Number:
    """Return the Mobile AI 2021 score: 2^(2 psnr) / (2^48 ms). The formula is a fit to the ten published rows."""
    score: Number = np.exp2(2.0 * psnr - 48.0) / runtime_ms  # 48 = 2 * 24: the score is 1 at 24 dB and 1 ms
    return score


def mai2022(psnr: Number, runtime_ms: Number, _bicubic_psnr: float = 0.0) -> Number:
    """Return the Mobile AI & AIM 2022 score: 2^(2 psnr) / (10 * 2^48 ms), a fit to the 25 published rows."""
    return mai2021(psnr, runtime_ms) / 10.0


ELEMENTWISE = frozenset({ntire23, ais2024, mai2021, mai2022})
"""Formulas that accept arrays; those of plug-ins may accept scalars only."""
