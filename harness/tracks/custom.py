"""Read a custom track from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.data.degradation import get_degradation
from harness.errors import UsageError
from harness.plugins import installed
from harness.quality.convention import get_convention
from harness.results.schema import ReparamPolicy
from harness.text import printable
from harness.tracks.expression import Expression
from harness.tracks.figures import Floats, figure_of
from harness.tracks.track import FPS_BANDS, Gate, Track, TrackDataset

_MAX_BYTES = 1 << 20

_Side = Annotated[int, Field(ge=1, le=16384, strict=True)]
_Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
_Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
"""Part of the name of a column."""
_TAKEN_WORDS = {"log10", "ci"}
"""Of the columns `score_log10` and `score_ci`, which rows have anyway."""
_TAKEN_ROLES = {"rgb", "y"}
"""`psnr_y` is PSNR on Y, not PSNR on a data set y."""
_PROBES: Mapping[str, tuple[float, float, float]] = {
    "psnr": (22.0, 31.0, 42.0), "psnr_rgb": (22.0, 31.0, 42.0), "psnr_y": (23.0, 33.0, 44.0),
    "bicubic": (21.0, 30.0, 38.0), "ssim_rgb": (0.6, 0.85, 0.98), "ssim_y": (0.6, 0.88, 0.99),
    "runtime_ms": (200.0, 12.0, 0.6), "params": (1e6, 6e4, 2e3), "macs": (1e11, 9e9, 4e8),
    "activations": (5e8, 6e7, 2e6), "memory_bytes": (3e9, 3e8, 2e7), "size_bytes": (4e6, 3e5, 9e3),
}  # fmt: skip
"""Figures of a slow, a middling and a fast network."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Gate(_Table):
    figure: str
    least: _Number
    decimals: Annotated[int, Field(ge=0, le=12)] | None = None


class _Dataset(_Table):
    role: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$")]
    title: str = ""
    degradation: str | None = None


class _Score(_Table):
    formula: str
    lower_is_better: bool = False
    logarithmic: bool = False
    parts: dict[_Word, str] = {}
    rank_sums: dict[_Word, Annotated[tuple[str, ...], Field(min_length=1)]] = {}


class _Rules(_Table):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    scale: Annotated[int, Field(ge=1, le=16, strict=True)]
    input_size: tuple[_Side, _Side]
    title: str = ""
    source: str = ""
    degradation: str = "bicubic"
    metric: Literal["psnr_rgb", "psnr_y"] = "psnr_rgb"
    convention: str = "harness"
    protocol: str | None = None
    fps_bands: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = FPS_BANDS
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
        raise UsageError(mistakes, where=str(path), hint="see docs/tracks.md for every key") from error
    try:
        _check(file)
        return _track(file)
    except UsageError as error:
        raise UsageError(error.what, where=str(path), hint=error.hint) from error


def _mistake(error: Mapping[str, Any]) -> str:
    """Return one mistake in one line, with the nearest key for a misspelt one."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        table, key = error["loc"][0], str(error["loc"][-1])
        # A key at the top of the file has a location of one part.
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
        # utf-8-sig: some editors begin a file with a byte order mark.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(path), hint="check the path") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is not TOML ({printable(str(error), 200)})", where=str(path)) from error


def _check(file: _File) -> None:
    """Raise UsageError for what single values do not show."""
    rules, score = file.track, file.score
    if rules.name in {point.name for point in installed("harness.tracks")}:
        raise UsageError(f"track.name: {rules.name!r} is the name of another track", hint="choose another name")
    if not all(one < other for one, other in pairwise(rules.fps_bands)):
        raise UsageError("track.fps_bands: the limits do not increase", hint="write the smallest one first")
    roles = [dataset.role for dataset in file.datasets]
    for role in roles:
        if roles.count(role) > 1:
            raise UsageError(f"datasets: two have the role {role!r}", hint="give each data set a role of its own")
        if role in _TAKEN_ROLES:
            raise UsageError(f"datasets: {role!r} is no role, because psnr_{role} is a figure", hint="rename it")
    taken = sorted(_TAKEN_WORDS & {*score.parts, *score.rank_sums})
    if taken:
        raise UsageError(
            f"score: a part cannot be called {taken[0]!r}", hint=f"the column score_{taken[0]} exists already"
        )
    formula = Expression(score.formula)
    # A constant would rank nothing.
    if not formula.names:
        raise UsageError(f"score.formula: {score.formula!r} uses no figure", hint="name what is scored, as psnr")
    for place, expression in {
        "formula": formula,
        **{f"parts.{n}": Expression(t) for n, t in score.parts.items()},
    }.items():
        if not _has_value(expression, logarithmic=score.logarithmic):
            hint = "set logarithmic = true" if _has_value(expression, logarithmic=True) else "check its constants"
            raise UsageError(f"score.{place} has no finite value for usual figures of networks", hint=hint)


def _has_value(expression: Expression, *, logarithmic: bool) -> bool:
    """Return whether an expression is finite for some usual network; True if it takes figures of another kind."""
    figures: dict[str, Floats] = {}
    for name in expression.names:
        known = figure_of(name)
        # There are no usual values of such figures, so the formula is accepted.
        if known is None or known[0].name not in _PROBES:
            return True
        figures[name] = np.array(_PROBES[known[0].name])
    # Finite for one of three is enough: a formula may be undefined for networks below bicubic, for example.
    return bool(np.isfinite(expression.log(figures) if logarithmic else expression(figures)).any())


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
