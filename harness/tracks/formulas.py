"""The score formulas of the challenges, each with where it was read.

All PSNRs are in dB and all runtimes in milliseconds; both may be arrays, scored element by element.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Number = float | NDArray[np.float64]


def ntire23(psnr: Number, runtime_ms: Number, bicubic_psnr: float) -> Number:
    """Return the NTIRE 2023 real-time score: 0 at or below bicubic, else 2^(gain) * 2 / (0.1 * sqrt(ms)).

    As released in the challenge's ``demo/calc_scoring.ipynb`` (eduardzamfir/NTIRE23-RTSR), with PSNR on RGB.
    """
    score: Number = np.where(psnr > bicubic_psnr, ais2024(psnr, runtime_ms, bicubic_psnr), 0.0)[()]
    return score


def ais2024(psnr: Number, runtime_ms: Number, lanczos_psnr: float) -> Number:
    """Return the AIS 2024 real-time score: 2^(gain) * 2 / (0.1 * sqrt(ms)), also below the interpolation.

    A fit, not released code: it reproduces the seven published rows to their two decimals where `psnr` and
    `lanczos_psnr` are PSNR-Y averaged over the two published quality levels.
    """
    score: Number = np.exp2(psnr - lanczos_psnr) * 2.0 / (0.1 * np.sqrt(runtime_ms))
    return score


def mai2021(psnr: Number, runtime_ms: Number, _bicubic_psnr: float = 0.0) -> Number:
    """Return the Mobile AI 2021 score: 2^(2 psnr) / (2^48 ms). A fit to the ten published rows."""
    score: Number = np.exp2(2.0 * psnr - 48.0) / runtime_ms
    return score


def mai2022(psnr: Number, runtime_ms: Number, _bicubic_psnr: float = 0.0) -> Number:
    """Return the Mobile AI & AIM 2022 score: 2^(2 psnr) / (10 * 2^48 ms). A fit to the 25 published rows."""
    return mai2021(psnr, runtime_ms) / 10.0


ELEMENTWISE = frozenset({ntire23, ais2024, mai2021, mai2022})
"""The formulas that take arrays; one of another package may not."""
