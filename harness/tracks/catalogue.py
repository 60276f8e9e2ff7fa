"""The tracks that come with the harness, and the registry of all tracks."""

from __future__ import annotations

from harness.errors import UsageError
from harness.plugins import Registry, instance_of
from harness.results.schema import Run
from harness.tracks.formulas import AIS2024, MAI2021, MAI2022, NTIRE23
from harness.tracks.track import Track

_NTIRE23_FORMULA = "0 if psnr <= bicubic, else 2^(psnr - bicubic) * 2 / (0.1 * sqrt(runtime_ms)), PSNR on RGB"
_NTIRE23_SOURCE = "code: demo/calc_scoring.ipynb of eduardzamfir/NTIRE23-RTSR"

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
)
MAI2021_X3 = Track(
    name="mai2021-x3",
    title="Mobile AI 2021 quantised super-resolution on an NPU",
    scale=3,
    degradation="bicubic",
    input_shape=(1, 3, 360, 640),
    score_formula="2^(2 * psnr) / (2^48 * runtime_ms) (a fit)",
    formula=MAI2021,
    source="fit to 10 of 10 published rows; INT8 on a Synaptics VS680",
)
MAI2022_X3 = Track(
    name="mai2022-x3",
    title="Mobile AI & AIM 2022 quantised super-resolution on an NPU",
    scale=3,
    degradation="bicubic",
    input_shape=(1, 3, 360, 640),
    score_formula="2^(2 * psnr) / (10 * 2^48 * runtime_ms) (a fit)",
    formula=MAI2022,
    source="fit to 25 of 25 published rows; INT8 on a Synaptics VS680",
)

TRACKS: Registry[Track] = Registry("harness.tracks", "track", instance_of(Track))
_DEFAULT = {2: NTIRE23_X2, 3: NTIRE23_X3, 4: NTIRE23_X4}


def get_track(name: str) -> Track:
    """Return the track that the harness or an installed package declares (entry-point group ``harness.tracks``).

    Raises
    ------
    UsageError
        There is no such track, and the message lists those that there are; or it cannot be loaded.
    """
    return TRACKS.get(name)


def track_of(run: Run) -> Track | None:
    """Return the track of a stored run, or None if no installed package defines it."""
    try:
        return get_track(run.track.name)
    except UsageError:
        return None


def list_tracks() -> list[str]:
    """Return the names of all tracks."""
    return TRACKS.names()


def track_for_scale(scale: int) -> Track:
    """Return the track that a run at `scale` follows unless told otherwise: the NTIRE 2023 real-time rules.

    Raises
    ------
    UsageError
        No track has this scale.
    """
    if scale not in _DEFAULT:
        known = ", ".join(map(str, _DEFAULT))
        raise UsageError(f"no default track has scale {scale}", hint=f"use --scale {known} or name a --track")
    return _DEFAULT[scale]
