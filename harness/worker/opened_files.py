"""Record which files the process opens, to find out whether a factory reads its checkpoint itself."""

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
    """Collect the absolute paths of all files that Python code opens within the block.

    An audit hook sees every way to open a file from Python, so nothing needs to be patched.
    """
    global _hooked  # noqa: PLW0603 -- an audit hook cannot be removed, so there is one for the process
    if not _hooked:
        sys.addaudithook(_note)
        _hooked = True
    paths: set[Path] = set()
    _recorders.append(paths)
    try:
        yield paths
    finally:
        # By identity: list.remove compares sets by value and could remove the equal set of an enclosing block.
        _recorders[:] = [recorder for recorder in _recorders if recorder is not paths]


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _recorders and event == "open" and isinstance(arguments[0], str | os.PathLike):
        path = Path(arguments[0]).absolute()
        for recorder in _recorders:
            recorder.add(path)
