"""Manifests that describe several models: shared keys in ``[submission]``, each model in a ``[[model]]`` table.

The keys of a model are those of ``[submission]``, and replace the shared ones. Its ``weights`` may be one path instead
of a path for each scale. A mistake in one model leaves the others as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import ManifestError
from harness.submissions import mistakes
from harness.submissions.manifest import Manifest, check_files, manifest_file, read_document, read_manifest
from harness.text import single_line

MAX_MODELS = 500
"""Number of models in a manifest."""

_MODEL = re.compile(r"\s*\[\[\s*model\s*\]\]")
_TABLE = re.compile(r"\s*\[")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


@dataclass(frozen=True, slots=True)
class Described:
    """One model of a manifest: its name, and its description or what is wrong with it."""

    name: str
    manifest: Manifest | ManifestError


def read_manifests(folder: Path) -> list[Described]:
    """Return the models that the manifest of a folder describes, in its order.

    Raises
    ------
    ManifestError
        The manifest is missing, unreadable or invalid as a whole.
    """
    path = manifest_file(folder)
    if path is None or "model" not in (contents := read_document(path))[1]:
        manifest = read_manifest(folder)
        return [Described(manifest.name, manifest)]
    text, document = contents
    shared, tables = _shared(document, text, path), document["model"]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ManifestError("has a table [model]", where=str(path), hint="write [[model]], in double brackets")
    if len(tables) > MAX_MODELS:
        raise ManifestError(f"describes {len(tables)} models", where=str(path), hint=f"describe at most {MAX_MODELS}")
    blocks = block_texts(text)
    return [
        _described(number, {**shared, **table}, _own_text(text, blocks, number, table), path)
        for number, table in enumerate(tables)
    ]


def block_texts(text: str) -> list[tuple[int, int]]:
    """Return the first line of each ``[[model]]`` table of a manifest and the line after its last one, from 0."""
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines) if _MODEL.match(line)]
    return list(zip(starts, [*starts[1:], len(lines)], strict=True)) if starts else []


def _shared(document: dict[str, Any], text: str, path: Path) -> dict[str, Any]:
    shared = document.get("submission", {})
    if not isinstance(shared, dict):
        raise ManifestError("submission is no table", where=str(path), hint="write [submission], and keys below it")
    others = [key for key in document if key not in ("submission", "model")]
    found = [
        mistakes.Mistake(mistakes.line_of(text, (key,)), key, "is outside [submission] and [[model]]", "move it there")
        for key in others
    ]
    if found:
        raise mistakes.as_error(found, path)
    return shared


def _own_text(text: str, blocks: list[tuple[int, int]], number: int, table: dict[str, Any]) -> str:
    """Return the text with only one model in it, written as a single submission, at its own lines."""
    return "\n".join(_own_lines(text, blocks[number] if number < len(blocks) else (0, 0), set(table)))


def _own_lines(text: str, block: tuple[int, int], replaced: set[str]) -> Iterator[str]:
    first = next(iter(block_texts(text)), (0, 0))[0]
    for number, line in enumerate(text.split("\n")):
        key = _KEY.match(line)
        if number < first:
            yield "" if key and key[1] in replaced else line
        elif not block[0] <= number < block[1]:
            yield ""
        elif _TABLE.match(line):
            # [model.weights] becomes [weights], as in the manifest of one model, in which `line_of` looks tables up.
            yield _MODEL.sub("[submission]", line.replace("[model.", "["))
        else:
            yield line


def _described(number: int, table: dict[str, Any], text: str, path: Path) -> Described:
    name = table.get("name")
    name = single_line(name, 200) if isinstance(name, str) and name.strip() else f"model {number + 1}"
    try:
        manifest = Manifest.model_validate(_with_weights(table))
        check_files(manifest, text, path)
    except ValidationError as error:
        found = [_of_model(one, name) for one in mistakes.from_pydantic(error, text, Manifest)]
        return Described(name, mistakes.as_error(found, path, max(0, error.error_count() - mistakes.MAX_ERRORS)))
    except ManifestError as error:
        return Described(name, error)
    return Described(manifest.name, manifest)


def _with_weights(table: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a model with a single path of weights given to all of its scales."""
    path, scales = table.get("weights"), table.get("scales")
    if not isinstance(path, str) or not isinstance(scales, list):
        return table
    return {**table, "weights": {f"x{scale}": path for scale in scales}}


def _of_model(mistake: mistakes.Mistake, name: str) -> mistakes.Mistake:
    return replace(mistake, key=f"[[model]] {name!r}: {mistake.key.removeprefix('[submission] ')}")
