"""Describe mistakes in a manifest: the line of each one and how to fix it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import ManifestError
from harness.text import single_line

MAX_MISTAKES = 20
"""Number of mistakes that are described; more are counted."""
MAX_ERRORS = 200
"""Number of errors among which equal ones are joined and the lines of which are searched."""
_MAX_TEXT = 300
# Characters of a misspelled key for which a similar one is searched.
_MAX_WORD = 60
_HINT = "docs/submitting.md describes every key"
_MAX_PARTS = 32
# Possessive quantifiers (++, *+) exclude backtracking: a line of an untrusted file may have any length.
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\]|\\.)*+"|'[^']*+')"""
_MANY_PARTS = re.compile(rf"[\s\[]*+{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_MAX_PARTS}}}")
_TABLES = ("weights", "published")
_REASONS = {
    "missing": "is missing",
    "extra_forbidden": "is not a key of a manifest",
    "string_type": "must be text in quotes",
    "list_type": "must be a list, such as [2, 3]",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "model_type": "must be a table, such as { params_k = 41.4 }",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "too_short": "must not be empty",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: line in the file (None if the key is missing), key, description and fix."""

    line: int | None
    key: str
    reason: str
    hint: str | None = None

    def sentence(self) -> str:
        """Return the mistake without its fix, on one line."""
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.key} {self.reason}"


def as_error(mistakes: Sequence[Mistake], path: Path, more: int = 0) -> ManifestError:
    """Return an exception that lists the ``mistakes`` in the manifest at ``path``; ``more`` others are counted only."""
    total = len(mistakes) + more
    if total == 1:
        return ManifestError(_cut(mistakes[0].sentence()), where=str(path), hint=mistakes[0].hint)
    given: set[str] = set()
    lines = []
    for mistake in mistakes[:MAX_MISTAKES]:
        is_new = mistake.hint is not None and mistake.hint not in given  # a hint is not repeated
        lines.append(_cut(f"{mistake.sentence()} ({mistake.hint})" if is_new else mistake.sentence()))
        given |= {mistake.hint or ""}
    if total > len(lines):
        lines.append(f"and {total - len(lines)} more")
    what = "\n  ".join([f"{total} mistakes", *lines])
    return ManifestError(what, where=str(path), hint="fix them in this order")


def _cut(text: str) -> str:
    return single_line(text, _MAX_TEXT)


def line_of(text: str, path: Sequence[str]) -> int | None:
    """Return the line number, from 1, of the key ``path`` (table, key, ...), or of its nearest parent if it is inline.

    Lines are searched in the text, because ``tomllib`` does not report positions.
    """
    parents = path[:_MAX_PARTS]
    dotted = [".".join(parents[:depth]) for depth in range(len(parents), 0, -1)]
    dotted += [f"submission.{name}" for name in dotted]  # a table that is written as one key of a model
    lines = _positions(text)
    return next((lines[name] for name in dotted if name in lines), None)


@lru_cache(maxsize=1)  # every mistake of a manifest asks for the lines of the same text
def _positions(text: str) -> Mapping[str, int]:
    table = ""
    positions: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = _plain(stripped.partition("#")[0].strip().strip("[]"))
            positions.setdefault(table, number)
        elif "=" in stripped:
            key = _plain(stripped.partition("=")[0])
            positions.setdefault(f"{table}.{key}".lstrip("."), number)
    return positions


def _plain(name: str) -> str:
    # Cut, because every key is stored with the name of its table.
    return ".".join(part.strip().strip("\"'") for part in name[:_MAX_TEXT].split("."))


def check_parts(text: str, path: Path) -> None:
    """Check that no key has many parts, because the time that ``tomllib`` takes grows with the cube of their number.

    Only keys at the start of a line are checked. Those of inline tables take linear time.

    Raises
    ------
    ManifestError
        A key has more than :data:`_MAX_PARTS` parts.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if _MANY_PARTS.match(line):
            what = f"line {number}: a key has more than {_MAX_PARTS} parts"
            raise ManifestError(what, where=str(path), hint=_HINT)


def stray_tables(others: Mapping[str, Any], submission: Mapping[str, Any], text: str, path: Path) -> list[Mistake]:
    """Return structural mistakes: keys outside ``[submission]``, unknown tables, tables inside ``[submission]``."""
    del path
    found = []
    stray = [key for key in others if key not in _TABLES]
    for number, key in enumerate(stray):
        is_shown = number < MAX_MISTAKES
        near = suggestion(key, (*_TABLES, "submission")) if is_shown else None
        hint = near or "move it into [submission], or remove it"
        found.append(Mistake(line_of(text, (key,)), key, "is outside [submission]", hint))
    for key in _TABLES:
        if key in submission:
            line = line_of(text, ("submission", key))
            found.append(
                Mistake(line, f"[submission.{key}]", "is inside [submission]", f"write [{key}] as a separate table")
            )
    return found


def from_pydantic(error: ValidationError, text: str, model: type[BaseModel]) -> list[Mistake]:
    """Convert the first :data:`MAX_ERRORS` of pydantic's errors to mistakes in ``text``, at most one per key."""
    found: dict[str, Mistake] = {}
    for detail in error.errors(include_url=False, include_input=False)[:MAX_ERRORS]:
        location = [str(part) for part in detail["loc"] if not isinstance(part, int)]
        is_shown = len(found) < MAX_MISTAKES
        mistake = _mistake(detail["type"], detail["msg"], location, text, model if is_shown else None)
        found.setdefault(mistake.key or mistake.reason, mistake)
    return sorted(found.values(), key=lambda mistake: mistake.line or 0)


def _mistake(kind: str, message: str, location: list[str], text: str, model: type[BaseModel] | None) -> Mistake:
    """Return one mistake; without `model` its fix is not searched."""
    # pydantic puts this before messages of the manifest's own validators, some of which name table and key.
    message = message.removeprefix("Value error, ")
    if match := re.match(r"\[(\w+)\] (\S+): (.*)", message):
        return Mistake(line_of(text, (match[1], match[2])), f"[{match[1]}] {match[2]}", match[3], _HINT)
    if not location:
        return Mistake(None, "", message, _HINT)
    path = location if location[0] in _TABLES else ["submission", *location]
    reason = _REASONS.get(kind, message[0].lower() + message[1:])
    hint = _HINT
    if kind == "extra_forbidden" and model is not None:
        known = _known_keys(model, path)
        hint = suggestion(path[-1], known) or f"the keys are {', '.join(known)}"
    elif kind == "missing":
        hint = f"add a line {path[-1]} = {'[2]' if path[-1] == 'scales' else '...'}"
    line = None if kind == "missing" else line_of(text, path)
    return Mistake(line, f"[{path[0]}] {'.'.join(path[1:])}".strip(), reason, hint)


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    if path[0] == "published":
        from harness.results.schema import Published

        return list(Published.model_fields)
    return [name for name in model.model_fields if name not in _TABLES]


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """Return ``did you mean ...?`` for a misspelled key, or None if no known key is similar."""
    if len(word) > _MAX_WORD:  # the time grows with the product of the lengths
        return None
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None
