"""Submissions of images: PNG files and the ``readme.txt`` that super-resolution challenges ask for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from harness.codabench.settings import Kind
from harness.errors import SubmissionError
from harness.text import single_line

README = "readme.txt"
# \x20 is the blank at the end of the line, which editors remove.
TEMPLATE = """\
runtime per image [s] : 0.01
CPU[1] / GPU[0] : 0
Extra Data [1] / No Extra Data [0] : 0
Other description :\x20
"""
_CODE = {".py", ".toml", ".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".pt2"}
_RUNTIME = re.compile(r"^\s*runtime\s+per\s+image\s*\[s\]\s*:(.*)$", re.IGNORECASE | re.MULTILINE)
_LINE = re.compile(r"^\s*([^:]{1,80}?)\s*:(.*)$")
# The files are untrusted; the file that is asked for has four lines.
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Statement:
    """What the authors of results state.

    Attributes
    ----------
    runtime_s
        Seconds per image.
    lines
        All lines of the file as (key, value), for display.
    """

    runtime_s: float
    lines: tuple[tuple[str, str], ...]


def contents(folder: Path) -> Path:
    """Return the folder that holds a submission's files: the folder itself, or the only folder in it."""
    # macOS adds this folder to the zip files that it makes.
    inside = [path for path in folder.iterdir() if path.name != "__MACOSX"]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink() else folder


def kind_of(folder: Path) -> Kind:
    """Return what a submission is, by the files in it.

    Raises
    ------
    SubmissionError
        It holds neither code nor images.
    """
    suffixes = {path.suffix.lower() for path in contents(folder).rglob("*") if path.is_file()}
    # Code comes first: a network may have pictures beside it.
    if suffixes & _CODE:
        return "code"
    if ".png" in suffixes:
        return "results"
    found = ", ".join(sorted(suffixes)) or "nothing"
    raise SubmissionError(
        f"there is neither a network nor an image in the submission (it holds {single_line(found, 200)})",
        hint="send arch.py with its checkpoint, or PNG images with readme.txt, at the top of the zip file",
    )


def read_statement(folder: Path) -> Statement:
    """Read ``readme.txt``.

    Raises
    ------
    SubmissionError
        It is missing, or states no positive runtime.
    """
    path = folder / README
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SubmissionError("is larger than 64 KiB", where=README, hint="it has four lines")
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        hint = "write the four lines of the starting kit's readme.txt beside the images"
        raise SubmissionError("there is no readme.txt", where=README, hint=hint) from error
    match = _RUNTIME.search(text)
    hint = "its first line is such as: runtime per image [s] : 0.01"
    if match is None:
        raise SubmissionError("has no line `runtime per image [s] :`", where=README, hint=hint)
    stated = match[1].strip()
    try:
        runtime = float(stated)
    except ValueError as error:
        raise SubmissionError(
            f"states the runtime {single_line(stated, 40)!r}, which is no number", where=README, hint=hint
        ) from error
    if not (math.isfinite(runtime) and runtime > 0):
        raise SubmissionError(f"states a runtime of {runtime:g} s", where=README, hint="state the seconds per image")
    return Statement(runtime, tuple(_lines(text)))


def _lines(text: str) -> list[tuple[str, str]]:
    matches = [_LINE.match(line) for line in text.splitlines()[:20]]
    return [(single_line(match[1], 80), single_line(match[2].strip(), 300)) for match in matches if match]
