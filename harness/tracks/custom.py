"""Read a custom track from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.data.degradation import get_degradation
from harness.errors import UsageError
from harness.quality.convention import get_convention
from harness.results.schema import ReparamPolicy
from harness.text import printable
from harness.tracks.expression import Expression
from harness.tracks.track import FPS_BANDS, Gate, Track, TrackDataset

_MAX_BYTES = 1 << 20

_Side = Annotated[int, Field(ge=1, le=16384)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Gate(_Table):
    figure: str
    least: float
    decimals: Annotated[int, Field(ge=0, le=12)] | None = None


class _Dataset(_Table):
    role: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$")]
    title: str = ""
    degradation: str | None = None


class _Score(_Table):
    formula: str
    lower_is_better: bool = False
    logarithmic: bool = False
    parts: dict[str, str] = {}
    rank_sums: dict[str, tuple[str, ...]] = {}


class _Rules(_Table):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    scale: Annotated[int, Field(ge=1, le=16)]
    input_size: tuple[_Side, _Side]
    title: str = ""
    source: str = ""
    degradation: str = "bicubic"
    metric: Literal["psnr_rgb", "psnr_y"] = "psnr_rgb"
    convention: str = "harness"
    protocol: str | None = None
    fps_bands: tuple[Annotated[float, Field(gt=0)], ...] = FPS_BANDS
    reparam: ReparamPolicy | None = None


class _File(_Table):
    track: _Rules
    score: _Score
    gates: list[_Gate] = []
    datasets: list[_Dataset] = []


_KEYS = {
    "track": tuple(_Rules.model_fields),
    "score": tuple(_Score.model_fields),
    "gates": tuple(_Gate.model_fields),
    "datasets": tuple(_Dataset.model_fields),
}


def read_track(path: Path) -> Track:
    """Return the track that a TOML file describes.

    The file has a table ``[track]`` with ``name``, ``scale`` and ``input_size = [height, width]``, a table ``[score]``
    with a ``formula`` of named figures, and optionally ``[[gates]]`` and ``[[datasets]]``; see ``docs/tracks.md``.

    Raises
    ------
    UsageError
        The file cannot be read, is no TOML, or breaks a rule. The message names every mistake with its place in the
        file and, for a misspelt name, the nearest known one.
    """
    content = _content(path)
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        mistakes = "\n  ".join(_mistake(one) for one in error.errors())
        # All mistakes at once: who writes a track would otherwise repair them one by one.
        raise UsageError(mistakes, where=str(path), hint="docs/tracks.md describes every key") from error
    try:
        return _track(file)
    except UsageError as error:
        raise UsageError(error.what, where=str(path), hint=error.hint) from error


def _mistake(error: Mapping[str, Any]) -> str:
    """Return one mistake in one line, with the nearest key for a misspelt one."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        table, key = error["loc"][0], str(error["loc"][-1])
        known = _KEYS.get(str(table), tuple(_KEYS)) if len(error["loc"]) > 1 else tuple(_KEYS)
        nearest = get_close_matches(key, known, 1, 0.5)
        return f"{place} is not a key: " + (f"did you mean {nearest[0]!r}?" if nearest else f"use {', '.join(known)}")
    if error["type"] == "missing":
        return f"{place} is missing"
    return f"{place}: {str(error['msg']).lower()}, not {printable(repr(error['input']), 60)}"


def _content(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError("is larger than 1 MiB", where=str(path), hint="a track is a short text file")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(path), hint="check the path") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is not TOML ({printable(str(error), 200)})", where=str(path)) from error


def _track(file: _File) -> Track:
    rules, score = file.track, file.score
    # Unknown names raise here, where the file can be named, and not in the middle of a run.
    get_convention(rules.convention)
    for degradation in [rules.degradation, *(one.degradation for one in file.datasets if one.degradation)]:
        get_degradation(degradation)
    height, width = rules.input_size
    return Track(
        name=rules.name,
        title=rules.title or rules.name,
        scale=rules.scale,
        degradation=rules.degradation,
        input_shape=(1, 3, height, width),
        score_formula=score.formula,
        formula=Expression(score.formula),
        metric=rules.metric,
        convention=rules.convention,
        fps_bands=rules.fps_bands,
        higher_is_better=not score.lower_is_better,
        source=rules.source,
        protocol=rules.protocol,
        datasets=tuple(TrackDataset(d.role, d.title or d.role, d.degradation) for d in file.datasets),
        gates=tuple(Gate(gate.figure, gate.least, gate.decimals) for gate in file.gates),
        parts={name: Expression(text) for name, text in score.parts.items()},
        rank_sums=score.rank_sums,
        logarithmic=score.logarithmic,
        reparam=rules.reparam,
    )
