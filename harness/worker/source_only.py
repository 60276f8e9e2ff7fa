"""Import a submission from its source only: byte code in its folder is never executed.

Python prefers a cached ``__pycache__/arch.cpython-311.pyc`` if its header names the size and time of ``arch.py``, which
anybody can forge. Where there is no ``name.py`` it imports ``name.pyc``. Either would
run code that is not in the source.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourcelessFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

# The module in which every loader of source files looks up where its byte code would be.
_LOADERS: Any = sys.modules["importlib._bootstrap_external"]
_cached_place = _LOADERS.cache_from_source
_roots: set[str] = set()


class _NoByteCode:
    """Refuse modules of submissions that exist as byte code only; all others are left to the usual finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return None; raise ImportError for byte code in the folder of a submission."""
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourcelessFileLoader) and _is_submitted(spec.origin or ""):
            place = Path(spec.origin or "").name
            raise ImportError(f"{place} is byte code without its source, which is not executed", name=name)
        return None


_finder = _NoByteCode()


def forbid_byte_code(root: Path) -> None:
    """Let all imports from `root` read the source, also those that submitted code makes through ``importlib``.

    ``sys.pycache_prefix`` would do so as well, for every module of the process: torch, which imports hundreds of
    modules when it is first needed, would be compiled anew in every worker.
    """
    _roots.add(os.path.realpath(root))
    _LOADERS.cache_from_source = _place_of_byte_code
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def _place_of_byte_code(path: Any, *arguments: Any, **keywords: Any) -> Any:
    if _is_submitted(path):
        raise NotImplementedError  # the documented way to say that a file has no byte code
    return _cached_place(path, *arguments, **keywords)


def _is_submitted(path: Any) -> bool:
    real = os.path.realpath(path)
    return any(real.startswith(root + os.sep) for root in _roots)
