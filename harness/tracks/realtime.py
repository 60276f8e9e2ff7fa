"""The real-time challenges: NTIRE 2023, AIS 2024 and Mobile AI, with the sources of their formulas.

All PSNRs are in dB and all runtimes in milliseconds. ``bicubic`` is the PSNR of the interpolation that a challenge
compares with, which is Lanczos in AIS 2024.
"""

from __future__ import annotations

from harness.tracks.expression import Expression
from harness.tracks.published import PublishedTable
from harness.tracks.track import Track, TrackDataset

NTIRE23 = Expression("exp2(psnr - bicubic) * 2 / (0.1 * sqrt(runtime_ms)) if psnr > bicubic else 0")
"""The NTIRE 2023 real-time score, as released in the challenge's ``demo/calc_scoring.ipynb``."""

AIS2024 = Expression("exp2(psnr - bicubic) * 2 / (0.1 * sqrt(runtime_ms))")
"""The AIS 2024 real-time score, which is positive below the interpolation too.

A fit, not released code: it reproduces the seven published rows to their two decimals where ``psnr`` and ``bicubic``
are PSNR-Y averaged over the two published quality levels.
"""

_NTIRE23_FORMULA = "0 if psnr <= bicubic, else 2^(psnr - bicubic) * 2 / (0.1 * sqrt(runtime_ms)), PSNR on RGB"
_NTIRE23_SOURCE = "code: demo/calc_scoring.ipynb of eduardzamfir/NTIRE23-RTSR"
_NTIRE23_REPORT = "report of the challenge (CVPRW 2023), table as shown in eduardzamfir/NTIRE23-RTSR"
_MOBILE_AI = "reports of the Mobile AI challenges (arXiv 2105.07825, 2211.05910)"

NTIRE23_X2 = Track(
    name="ntire23-x2",
    title="NTIRE 2023 Real-Time 4K Super-Resolution, Track 1",
    scale=2,
    degradation="ntire23",
    input_shape=(1, 3, 1080, 1920),
    score_formula=_NTIRE23_FORMULA,
    formula=NTIRE23,
    official_bicubic={"ntire23-test": 33.916, "ntire23-validation": 31.697655},
    source=f"{_NTIRE23_SOURCE}; 33.916 dB: RT4KSR's README, and the only value that fits all 24 published rows",
    published=PublishedTable("ntire23-x2.csv", _NTIRE23_REPORT, bicubic=33.916),
    remarks=(
        "The report prints 33.92 dB for bicubic; six of its scores only follow from the unrounded 33.916 dB.",
        "RT4KSR's README prints 34.193 dB; its score in the report, 9.27, needs the report's 34.22 dB.",
    ),
)
NTIRE23_X3 = Track(
    name="ntire23-x3",
    title="NTIRE 2023 Real-Time 4K Super-Resolution, Track 2",
    scale=3,
    degradation="ntire23",
    input_shape=(1, 3, 720, 1280),
    score_formula=_NTIRE23_FORMULA,
    formula=NTIRE23,
    official_bicubic={"ntire23-test": 31.302},
    source=f"{_NTIRE23_SOURCE}; 31.302 dB: RT4KSR's README",
    published=PublishedTable("ntire23-x3.csv", "poster of LRSRN (CVPRW 2023): five of the rows", bicubic=31.302),
    remarks=("No public source prints the scores of this track.",),
)
NTIRE23_X4 = Track(
    name="ntire23-x4",
    title="The rules of NTIRE 2023 Real-Time 4K Super-Resolution at x4 (the challenge had no such track)",
    scale=4,
    degradation="ntire23",
    input_shape=(1, 3, 540, 960),
    score_formula=_NTIRE23_FORMULA,
    formula=NTIRE23,
    source=_NTIRE23_SOURCE,
)
AIS2024_X4 = Track(
    name="ais2024-x4",
    title="AIS 2024 Real-Time Super-Resolution of AVIF images",
    scale=4,
    degradation="avif31",
    input_shape=(1, 3, 540, 960),
    score_formula="2^(psnr - lanczos) * 2 / (0.1 * sqrt(runtime_ms)), PSNR on Y, mean over the quality levels (a fit)",
    formula=AIS2024,
    official_bicubic={"ais2024-test": 30.935},
    metric="psnr_y",
    source=(
        "fit to 7 of 7 rows of the report's table; 30.935 dB is the mean of Lanczos at QP 31 (32.75) and at the second "
        "level (29.12), headed QP 61 there, probably 63"
    ),
    datasets=(
        TrackDataset("qp31", "the test images at QP 31", "avif31"),
        TrackDataset("qp63", "the test images at QP 63", "avif63"),
    ),
    published=PublishedTable(
        "ais2024-x4.csv", "report of AIS 2024 (arXiv 2404.16484), part of its table", bicubic=30.935
    ),
    remarks=(
        (
            "The challenge encoded five quality levels (QP 31, 39, 47, 55, 63); its table shows two, and scores are "
            "those of their mean."
        ),
    ),
)
MAI2021_X3 = Track(
    name="mai2021-x3",
    title="Mobile AI 2021 quantised super-resolution on an NPU",
    scale=3,
    degradation="bicubic",
    input_shape=(1, 3, 360, 640),
    score_formula="2^(2 * psnr) / (2^48 * runtime_ms) (a fit)",
    formula=Expression("exp2(2 * psnr - 48) / runtime_ms"),
    source="fit to 10 of 10 published rows; INT8 on a Synaptics VS680",
    published=PublishedTable("mai2021-x3.csv", _MOBILE_AI),
    remarks=("The challenge timed INT8 networks on an NPU; a run of the harness measures on this machine.",),
)
MAI2022_X3 = Track(
    name="mai2022-x3",
    title="Mobile AI & AIM 2022 quantised super-resolution on an NPU",
    scale=3,
    degradation="bicubic",
    input_shape=(1, 3, 360, 640),
    score_formula="2^(2 * psnr) / (10 * 2^48 * runtime_ms) (a fit)",
    formula=Expression("exp2(2 * psnr - 48) / runtime_ms / 10"),
    source="fit to 25 of 25 published rows; INT8 on a Synaptics VS680",
    published=PublishedTable("mai2022-x3.csv", _MOBILE_AI),
    remarks=("The challenge timed INT8 networks on an NPU; a run of the harness measures on this machine.",),
)
NTIRE_MOBILE_2026 = Track(
    name="ntire-mobile-2026",
    title="NTIRE 2026 Mobile Real-World Image Super-Resolution",
    scale=4,
    degradation="bicubic",
    input_shape=(1, 3, 128, 128),
    score_formula=(
        "2^((1 - lpips) + (1 - dists) + clipiqa + maniqa + musiq / 100 + max(0, (10 - niqe) / 10)) * speedup^0.2"
    ),
    formula=Expression(
        "exp2(1 - lpips + 1 - dists + clipiqa + maniqa + musiq / 100 + max(0, (10 - niqe) / 10)) * speedup ** 0.2"
    ),
    source="README of jiatongli2024/NTIRE2026_Mobile_RealWorld_ImageSR",
    parts={
        "perceptual": Expression("1 - lpips + 1 - dists + clipiqa + maniqa + musiq / 100 + max(0, (10 - niqe) / 10)")
    },
    published=PublishedTable("ntire-mobile-2026.csv", "jiatongli2024/NTIRE2026_Mobile_RealWorld_ImageSR, table"),
    remarks=(
        (
            "The score needs six perceptual metrics and the runtime of OSEDiff on a MediaTek Dimensity 8400, which the "
            "harness does not measure: it computes scores of given figures only."
        ),
        "The perceptual score of team NTR is printed as 4.0126; its printed metrics give 4.0135.",
    ),
)
