"""Upgrade stored files of earlier schema versions when they are read."""

from __future__ import annotations

from typing import Any

from harness.results.schema import SCHEMA_VERSION

READABLE_VERSIONS = (1, 2)
"""Schema versions that this release can read."""
_RENAMED = {"lane": "backend", "to_come": "remaining_work"}
"""Keys of version 1 and their names in version 2."""
_DROPPED = frozenset({"load_info"})

# The formula of the tracks at all three scales.
_NTIRE23 = "exp2(psnr - bicubic) * 2 / (0.1 * sqrt(runtime_ms)) if psnr > bicubic else 0"
_TRACKS = {
    "ntire23-x2": {"score_expression": _NTIRE23},
    "ntire23-x3": {"score_expression": _NTIRE23},
    "ntire23-x4": {"score_expression": _NTIRE23},
    "ais2024-x4": {"score_expression": "exp2(psnr - bicubic) * 2 / (0.1 * sqrt(runtime_ms))", "metric": "psnr_y"},
    "mai2021-x3": {"score_expression": "exp2(2 * psnr - 48) / runtime_ms"},
    "mai2022-x3": {"score_expression": "exp2(2 * psnr - 48) / runtime_ms / 10"},
}
"""What version 1 did not store of the tracks that the harness had then."""


def upgrade(raw: Any) -> Any:
    """Convert the content of a file of schema version 1 or 2 to version 2.

    Parameters
    ----------
    raw
        Parsed JSON of a whole run or of one measurement. It is not modified.

    Returns
    -------
    object
        A copy with the keys of version 2.
    """
    if isinstance(raw, list):
        return [upgrade(item) for item in raw]
    if not isinstance(raw, dict):
        return raw
    # Keys are renamed at every depth.
    upgraded: dict[str, Any] = {
        _RENAMED.get(str(key), str(key)): upgrade(value) for key, value in raw.items() if key not in _DROPPED
    }
    # Only whole runs have a version; a measurement is complete after the renaming.
    if upgraded.get("schema_version") == 1:
        upgraded["schema_version"] = SCHEMA_VERSION
        _complete_track(upgraded)
    return upgraded


def _complete_track(run: dict[str, Any]) -> None:
    """Add what version 1 did not store of the track; the direction of an unknown one is read from the ranks."""
    track = run.get("track")
    if isinstance(track, dict):
        known = _TRACKS.get(str(track.get("name")), {"higher_is_better": _ranks_fall_with_score(run.get("entries"))})
        # What the file itself says has precedence.
        run["track"] = {**known, **track}


def _ranks_fall_with_score(entries: Any) -> bool:
    """Return whether the best-ranked row has the largest score; True where no two rows are ranked."""
    rows = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    ranked = [
        (row["rank"], row["score"]) for row in rows if _is_number(row.get("rank")) and _is_number(row.get("score"))
    ]
    # Pairs of rank and score: the score of the best rank is compared with that of the worst.
    return not ranked or min(ranked)[1] >= max(ranked)[1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
