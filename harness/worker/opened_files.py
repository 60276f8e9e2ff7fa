"""Which files the process opens: tells whether a factory has read its checkpoint itself."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_recorders: list[set[Path]] = []
_hooked = False


@contextlib.contextmanager
def recorded() -> Iterator[set[Path]]:
    """Collect the absolute paths of all files that Python code opens within the block."""
    global _hooked  # noqa: PLW0603 -- an audit hook cannot be removed, so there is one for the process
    if not _hooked:
        sys.addaudithook(_note)
        _hooked = True
    paths: set[Path] = set()
    _recorders.append(paths)
    try:
        yield paths
    finally:
        _recorders[:] = [recorder for recorder in _recorders if recorder is not paths]


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _recorders and event == "open" and isinstance(arguments[0], str | os.PathLike):
        path = Path(arguments[0]).absolute()
        for recorder in _recorders:
            recorder.add(path)
