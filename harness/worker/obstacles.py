"""Tell what stands in the way of submitted code: a missing package, a device that is not there, a fixed precision."""

from __future__ import annotations

import importlib.metadata
import itertools
import linecache
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch

from harness.errors import SubmissionError, UnsupportedError
from harness.submissions.distributions import DISTRIBUTIONS, install_hint

PRIVATE_PREFIX = "_submission_"
"""Beginning of the names under which modules of submissions are imported that have no other."""

_GONE = {"imp": "3.12", "distutils": "3.12", "asynchat": "3.12", "asyncore": "3.12", "audioop": "3.13", "cgi": "3.13"}
"""Modules of the standard library with the version of Python that no longer has them."""
_MOST_ENTRIES = 20_000  # of a folder in which a package is searched
_CUDA = re.compile(
    r"not compiled with CUDA|no NVIDIA driver|No CUDA (GPUs|device)|CUDA_HOME|CUDA driver|is_cuda|active drivers"
    r"|CUDA is (required|not available)|(must|should) be (on |a )?CUDA|expected.{0,40}cuda|requires? (a )?(CUDA|GPU)"
    r"|not implemented (on|for) (the )?CPU|cannot be accessed from Triton"
    r"|only (supported|available|implemented|works?) (on|for|with) (a )?(CUDA|GPU|NVIDIA)",
    re.IGNORECASE,
)
_DISPATCH = re.compile(r"Could not run '([\w:.]+)' with arguments from the '(?:CPU|Meta)' backend")
_TORCH = Path(torch.__file__).parent
_HALF = re.compile(r"\bhalf(tensor)?\b", re.IGNORECASE)
_FLOAT = re.compile(r"\bfloat(tensor)?\b", re.IGNORECASE)
_TORCHVISION = "operator torchvision::"
_HINT_TORCHVISION = (
    "install torchvision from where torch came from: its compiled operators fit one version and one build of torch"
)
_HINT_CUDA = "the harness loads and checks networks on the CPU: give its operators an implementation for it"


def is_protected(name: str) -> bool:
    """Return whether a module belongs to what the harness itself is made of, so that no submission may replace it."""
    return name.split(".", maxsplit=1)[0] in {"harness", "torch", "numpy", "__main__"}


def obstacle(error: BaseException, root: Path | None = None) -> SubmissionError | None:
    """Return the error to report if the code cannot run here for a reason that lies outside of it; None otherwise.

    Parameters
    ----------
    error
        What submitted code raised.
    root
        Folder of the code; None if it is not known.
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing(error.name, root, _place(error))
    if isinstance(error, RuntimeError) and _TORCHVISION in str(error):
        what = f"imports torchvision {_version('torchvision')}, which does not fit torch {torch.__version__}"
        return UnsupportedError(what, where=_place(error), hint=_HINT_TORCHVISION)
    operator = cuda_operator(error)
    if operator is not None:
        return UnsupportedError(f"needs CUDA: {operator}", where=_place(error), hint=_HINT_CUDA)
    return None


def cuda_operator(error: BaseException) -> str | None:
    """Return what needs CUDA, an operator or a function with its line, if that is why an exception was raised."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 -- __str__ may be submitted code
        return None
    if match := _DISPATCH.search(text):
        return f"the operator {match[1]} has no implementation for the CPU"
    frames = _frames(error)
    if not frames:
        return None
    line = frames[-1].line or linecache.getline(frames[-1].filename, frames[-1].lineno or 0)
    asserts = isinstance(error, AssertionError) and "cuda" in line.lower()
    if not asserts and not (isinstance(error, RuntimeError | AssertionError | OSError) and _CUDA.search(text)):
        return None
    said = " ".join((text or line).split())[:200].rstrip(".")
    return f"{frames[-1].name} raised {type(error).__name__}: {said}"


def mixes_precisions(error: BaseException | None) -> bool:
    """Return whether an exception says that a half-precision tensor met one in single precision."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 -- as above
        return False
    return isinstance(error, RuntimeError) and bool(_HALF.search(text) and _FLOAT.search(text))


def own_place(root: Path, package: str) -> str | None:
    """Return where the folder of a submission holds a package or module of this name, relative to it, or None."""
    for path in itertools.islice(_entries(root), _MOST_ENTRIES):
        name = os.path.basename(path)  # noqa: PTH119 -- thousands of paths
        if name == f"{package}.py" or (name == package and os.path.isdir(root / path)):  # noqa: PTH112
            return path
    return None


def _entries(root: Path) -> Iterator[str]:
    """Yield the relative paths of files and folders, the outermost first."""
    waiting = [""]
    for folder in waiting:
        try:
            names = sorted(os.listdir(root / folder))  # noqa: PTH208 -- as above
        except OSError:
            continue
        for name in names:
            path = f"{folder}/{name}" if folder else name
            yield path
            if not name.startswith((".", "__")) and os.path.isdir(root / path):  # noqa: PTH112
                waiting.append(path)


def _missing(name: str, root: Path | None, where: str | None) -> SubmissionError:
    top, *inner = name.split(".")
    if top.startswith(PRIVATE_PREFIX):  # a relative import from the folder
        return SubmissionError(
            f"imports {'.'.join(inner)}, which is not in its folder", where=where, hint="add the file"
        )
    own = None if root is None else own_place(root, top)
    if root is not None and own is not None:
        parent = Path(own).parent
        exists = (root / parent / Path(top, *inner)).with_suffix(".py").is_file() or (root / parent / top).is_file()
        hint = f'set folder = "{parent}" in the manifest' if exists and str(parent) != "." else "add the missing file"
        return SubmissionError(f"imports {name}, which its own {own} should have", where=where, hint=hint)
    if top in _GONE:
        what = f"imports {name}, which Python has no longer since {_GONE[top]}"
        return UnsupportedError(what, where=where, hint="replace it, or run the harness with an older Python")
    installed = _version(top)
    if installed is not None and "." in name:
        what = f"imports {name}, which {top} {installed} does not have"
        return UnsupportedError(what, where=where, hint=f"the code was written for another version of {top}")
    place = "not installed" if top in DISTRIBUTIONS else "neither in its folder nor installed"
    return UnsupportedError(f"imports {name}, which is {place}", where=where, hint=install_hint(top))


def _version(package: str) -> str | None:
    names = importlib.metadata.packages_distributions().get(package, [])
    return importlib.metadata.version(names[0]) if names else None


def _place(error: BaseException) -> str | None:
    """Return file and line of the innermost frame outside of the import system."""
    frames = _frames(error)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the stack frames of an exception outside of the import system and, if there are any, outside of torch."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith("<")]
    return [one for one in frames if not Path(one.filename).is_relative_to(_TORCH)] or frames
