"""Keep what Python needs to import modules, which submitted code may remove while it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from harness.worker.importing import names_in, searched_folders
from harness.worker.obstacles import is_protected

T = TypeVar("T")


class ImportState:
    """The search path, the finders and the modules of this process, as they were before submitted code was loaded.

    What a submission adds stays, because it may import more later.

    Parameters
    ----------
    folder
        Folder of the submission. Its modules may take the place of others.
    """

    def __init__(self, folder: Path) -> None:
        earlier = searched_folders()
        self._path = [entry for entry in sys.path if entry not in earlier]
        self._finders: dict[str, list[Any]] = {
            "sys.meta_path": list(sys.meta_path),
            "sys.path_hooks": list(sys.path_hooks),
        }
        own = names_in(folder)
        self._modules = {
            name: module
            for name, module in sys.modules.copy().items()
            if is_protected(name) or (name.split(".")[0] in sys.stdlib_module_names and name.split(".")[0] not in own)
        }

    def restored(self) -> list[str]:
        """Add what is missing now, and return the names of what was changed."""
        changed = []
        path: Any = sys.path
        given = [*path] if isinstance(path, list | tuple) else []
        if _missing(self._path, given) or not isinstance(path, list):
            # Behind the submission's own entries, in the order in which modules were found before.
            sys.path = [*given, *_missing(self._path, given)]
            changed.append("sys.path")
        for name, entries in self._finders.items():
            present: list[Any] = getattr(sys, name.removeprefix("sys."))
            if lacking := _missing(entries, present):
                present.extend(lacking)
                changed.append(name)
                sys.path_importer_cache.clear()  # it may say that nothing can be imported from a folder
        return changed + self._modules_restored()

    def _modules_restored(self) -> list[str]:
        lost = {name: module for name, module in self._modules.items() if _is_lost(name, module)}
        sys.modules.update(lost)
        return ["sys.modules"] if lost else []


def _is_lost(name: str, module: ModuleType) -> bool:
    """Return whether a module is missing, or is one of the harness or of torch that another one replaces."""
    found = sys.modules.get(name)
    return found is None or (is_protected(name) and found is not module)


def _missing(entries: Iterable[T], present: Sequence[object]) -> list[T]:
    return [entry for entry in entries if entry not in present]
