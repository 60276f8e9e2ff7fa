"""Networks that come as one file without code of their own: ONNX, ``torch.export``, checkpoints of known networks.

A loader is a function ``(path: Path, scale: int) -> torch.nn.Module``. A manifest names one with
``factory = "harness.loaders:NAME"``, and its file under ``[weights]``. A package declares two entry points: the loader
in the group ``harness.loaders``, and in the group ``harness.suffixes`` each suffix that it claims, with the loader's
name as the value. Loaders run in workers only. The controller chooses one by suffix, and reads just this metadata: to
import the loader would execute the code of a package that may hold submissions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.errors import SubmissionError, UsageError
from harness.plugins import Registry

if TYPE_CHECKING:
    from torch import nn

PREFIX = "harness.loaders:"

Loader = Callable[[Path, int], "nn.Module"]


def _function(loaded: object) -> Loader:
    if not callable(loaded):
        raise TypeError(f"it is a {type(loaded).__name__}, not a function")
    return cast("Loader", loaded)


LOADERS: Registry[Loader] = Registry("harness.loaders", "loader", _function, SubmissionError)
SUFFIXES: Registry[Any] = Registry("harness.suffixes", "suffix", lambda loaded: loaded)
"""Which loader a bare file gets: an entry point's name is a suffix in lower case, its value names the loader."""


def loader_for(path: Path, suffixes: Registry[Any] = SUFFIXES) -> str | None:
    """Return the name of the loader that claims the suffix of a file; None where none does.

    Raises
    ------
    UsageError
        Packages claim the suffix for different loaders.
    """
    suffix = path.suffix.lower()
    # Several packages may claim a suffix for the same loader.
    claims = {plugin.target: plugin.package for plugin in suffixes.plugins() if plugin.name.lower() == suffix}
    if len(claims) > 1:
        told = " and ".join(f"{loader} ({package})" for loader, package in claims.items())
        raise UsageError(
            f"files {suffix} are claimed by the loaders {told}", where=str(path), hint="uninstall one of the packages"
        )
    return next(iter(claims), None)
