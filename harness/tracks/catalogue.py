"""The registry of all tracks."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.plugins import Registry, instance_of
from harness.results.schema import Run
from harness.tracks.custom import read_track
from harness.tracks.realtime import NTIRE23_X2, NTIRE23_X3, NTIRE23_X4
from harness.tracks.track import Track

TRACKS: Registry[Track] = Registry("harness.tracks", "track", instance_of(Track))
_DEFAULT = {2: NTIRE23_X2, 3: NTIRE23_X3, 4: NTIRE23_X4}
DEFAULT_SCALES = tuple(_DEFAULT)
"""Scales that have a default track. The first one is the default scale of a run."""


def get_track(name: str) -> Track:
    """Return a track by name, or the custom track of a TOML file.

    Parameters
    ----------
    name
        A track that the harness or an installed package declares (entry-point group ``harness.tracks``), or the path
        of a file that ends in ``.toml``.

    Raises
    ------
    UsageError
        There is no such track, and the message lists those that there are; or it cannot be loaded.
    """
    return read_track(Path(name)) if name.endswith(".toml") else TRACKS.get(name)


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
