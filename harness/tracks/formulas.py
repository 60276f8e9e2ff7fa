"""Score formulas of the challenges, each with its source.

All PSNRs are in dB and all runtimes in milliseconds. ``bicubic`` is the PSNR of the interpolation that a challenge
compares with, which is Lanczos in AIS 2024.
"""

from __future__ import annotations

from harness.tracks.expression import Expression

NTIRE23 = Expression("exp2(psnr - bicubic) * 2 / (0.1 * sqrt(runtime_ms)) if psnr > bicubic else 0")
"""The NTIRE 2023 real-time score, with PSNR on RGB.

As released in the challenge's ``demo/calc_scoring.ipynb`` (eduardzamfir/NTIRE23-RTSR).
"""

AIS2024 = Expression("exp2(psnr - bicubic) * 2 / (0.1 * sqrt(runtime_ms))")
"""The AIS 2024 real-time score, which is positive below the interpolation too.

A fit, not released code: it reproduces the seven published rows to their two decimals where ``psnr`` and ``bicubic``
are PSNR-Y averaged over the two published quality levels.
"""

MAI2021 = Expression("exp2(2 * psnr - 48) / runtime_ms")
"""The Mobile AI 2021 score. A fit to the ten published rows."""

MAI2022 = Expression("exp2(2 * psnr - 48) / runtime_ms / 10")
"""The Mobile AI & AIM 2022 score. A fit to the 25 published rows."""
