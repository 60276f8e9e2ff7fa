"""The score formulas of the challenges, each with where it was read.

All PSNRs are in dB and all runtimes in milliseconds.
"""

from __future__ import annotations

import math


def ntire23(psnr: float, runtime_ms: float, bicubic_psnr: float) -> float:
    """Return the NTIRE 2023 real-time score: 0 at or below bicubic, else 2^(gain) * 2 / (0.1 * sqrt(ms)).

    As released in the challenge's ``demo/calc_scoring.ipynb`` (eduardzamfir/NTIRE23-RTSR), with PSNR on RGB.
    """
    return ais2024(psnr, runtime_ms, bicubic_psnr) if psnr > bicubic_psnr else 0.0


def ais2024(psnr: float, runtime_ms: float, lanczos_psnr: float) -> float:
    """Return the AIS 2024 real-time score: 2^(gain) * 2 / (0.1 * sqrt(ms)), also below the interpolation.

    A fit, not released code: it reproduces the seven published rows to their two decimals where `psnr` and
    `lanczos_psnr` are PSNR-Y averaged over the two published quality levels.
    """
    return math.exp2(psnr - lanczos_psnr) * 2.0 / (0.1 * math.sqrt(runtime_ms))


def mai2021(psnr: float, runtime_ms: float, _bicubic_psnr: float = 0.0) -> float:
    """Return the Mobile AI 2021 score: 2^(2 psnr) / (2^48 ms). A fit to the ten published rows."""
    return math.exp2(2.0 * psnr - 48.0) / runtime_ms


def mai2022(psnr: float, runtime_ms: float, _bicubic_psnr: float = 0.0) -> float:
    """Return the Mobile AI & AIM 2022 score: 2^(2 psnr) / (10 * 2^48 ms). A fit to the 25 published rows."""
    return mai2021(psnr, runtime_ms) / 10.0
