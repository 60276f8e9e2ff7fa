"""Write the findings of a check into a manifest, line by line, for ``harness check --fix``.

What a submission prints is untrusted: only a few keys are written, with values of their own kind, and only into the
manifest that was checked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SubmissionError
from harness.files import atomic_file
from harness.submissions.manifest import manifest_file, read_document
from harness.submissions.model_tables import block_texts

_VALUES = {
    "value_range": r"1(?:\.0)?|255(?:\.0)?",
    "colour": r'"(?:bgr|ycbcr)"',
    "size_multiple": r"[1-9]\d{0,2}",
    "scales": r"\[(?:[1-9]|1[0-6])\]",
}
_SAID = re.compile("[Ss]et (?P<key>{}) = (?P<value>{})".format("|".join(_VALUES), "|".join(_VALUES.values())))


@dataclass(frozen=True, slots=True)
class Correction:
    """One line of a manifest: the model that it belongs to, the key and the value as TOML."""

    model: str
    key: str
    value: str

    @property
    def line(self) -> str:
        """The line to write."""
        return f"{self.key} = {self.value}"


def corrections_in(model: str, sentences: Sequence[str]) -> list[Correction]:
    """Return the settings that the findings about a model state; the first of several values for one key."""
    found: dict[str, Correction] = {}
    for sentence in sentences:
        for match in _SAID.finditer(sentence):
            # The pattern admits the values of all keys for each key; only those of its own are written.
            if re.fullmatch(_VALUES[match["key"]], match["value"]):
                found.setdefault(match["key"], Correction(model, match["key"], match["value"]))
    return list(found.values())


def correct(folder: Path, corrections: Sequence[Correction]) -> list[str]:
    """Write corrections into the manifest of a folder, and return a line for each that was written.

    A line of the same key is replaced, in the table of the model. Else a line is added below the model's name.

    Raises
    ------
    SubmissionError
        The manifest cannot be read or written.
    """
    path = manifest_file(folder)
    if path is None or not corrections:
        return []
    text = read_document(path)[0]
    lines, told = text.split("\n"), []
    for one in corrections:
        place = _place(lines, one)
        if place is None:
            continue
        number, replaces = place
        comment = ""
        # A comment at the end of the line is kept.
        if replaces and " #" in lines[number]:
            comment = "  #" + lines[number].partition(" #")[2]
        lines[number : number + replaces] = [one.line + comment]
        told.append(f"{path.name}:{number + 1}: {one.line} ({one.model})")
    try:
        with atomic_file(path) as file:
            file.write("\n".join(lines).encode())
    except OSError as error:
        raise SubmissionError(f"cannot be written: {error.strerror}", where=str(path)) from error
    return told


def _place(lines: Sequence[str], one: Correction) -> tuple[int, int] | None:
    """Return the line of a correction and how many lines it replaces (0 or 1); None if the model is not there."""
    # The manifest of a single model has no [[model]] tables.
    blocks = block_texts("\n".join(lines)) or _single(lines)
    for first, last in blocks:
        inner = _inner_end(lines, first, last)
        names = [number for number in range(first, inner) if _is_key(lines[number], "name")]
        if not names or _text(lines[names[0]]) != one.model:
            continue
        same = [number for number in range(first, inner) if _is_key(lines[number], one.key)]
        return (same[0], 1) if same else (names[0] + 1, 0)
    return None


def _single(lines: Sequence[str]) -> list[tuple[int, int]]:
    starts = [number for number, line in enumerate(lines) if re.match(r"\s*\[\s*submission\s*\]", line)]
    return [(starts[0], len(lines))] if starts else []


def _inner_end(lines: Sequence[str], first: int, last: int) -> int:
    """Return the line at which a further table begins in a block, such as ``[model.weights]``."""
    return next((number for number in range(first + 1, last) if lines[number].lstrip().startswith("[")), last)


def _is_key(line: str, key: str) -> bool:
    return re.match(rf"\s*{key}\s*=", line) is not None


def _text(line: str) -> str:
    """Return the text that a line such as ``name = "A"`` gives."""
    try:
        return str(next(iter(tomllib.loads(line.strip()).values())))
    except (ValueError, RecursionError, StopIteration):  # int() raises a plain ValueError for too many digits
        return ""
