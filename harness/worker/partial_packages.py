"""Import a module without executing ``__init__.py`` of packages that cannot be executed here.

Packages of published code often import all of their parts, and with them what any of these needs: a copy of a training
framework imports the libraries of its data sets, although a network needs none of them.
"""

from __future__ import annotations

import ast
import importlib
import sys
import traceback
from collections.abc import Collection, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.worker.registries import import_with_registries

_MOST = 8  # attempts to import a module


class PartialPackage(ModuleType):
    """A package whose ``__init__.py`` is not executed.

    A name that is taken from it is taken from its module of that name, or from the first one that defines the name.

    Parameters
    ----------
    name
        Its dotted name.
    folder
        Its folder.
    """

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self.__path__ = [str(folder)]
        self.__spec__ = ModuleSpec(name, None, is_package=True)

    def __getattr__(self, name: str) -> Any:
        """Return what a module of the package defines."""
        files = [] if name.startswith("__") else sorted(Path(self.__path__[0]).glob("*.py"))
        for file in files:
            if file.stem != "__init__" and name in _defined_in(file):
                return getattr(importlib.import_module(f"{self.__name__}.{file.stem}"), name)
        raise AttributeError(f"no module of {self.__name__} defines {name}")


def import_partially(name: str, root: Path, error: Exception) -> ModuleType:
    """Import a module of a folder without ``__init__.py`` of its packages, and of others that cannot be imported.

    Parameters
    ----------
    name
        Its dotted name.
    root
        The folder.
    error
        Why it cannot be imported with all of its packages.

    Raises
    ------
    Exception
        The module itself cannot be imported: what the last attempt raised.
    """
    *parents, _ = name.split(".")
    replaced = {".".join(parents[:depth]) for depth in range(1, len(parents) + 1)}
    failed = set(failed_packages(error, root))
    for _ in range(_MOST):
        if name in failed or not replaced | failed:
            break
        replaced |= failed
        _replace(replaced, root)
        try:
            return import_with_registries(name, root)
        except Exception as again:  # noqa: BLE001 -- submitted code may raise anything
            error, failed = again, set(failed_packages(again, root))
            if failed <= replaced:
                break
    raise error


def _replace(packages: Collection[str], root: Path) -> None:
    """Put partial packages into ``sys.modules``, without anything that was imported from the complete ones."""
    tops = {name.partition(".")[0] for name in packages}
    for name in [one for one in list(sys.modules) if one.partition(".")[0] in tops]:
        sys.modules.pop(name, None)  # another thread may have removed it
    for name in sorted(packages):  # the outer ones first
        package = sys.modules[name] = PartialPackage(name, root.joinpath(*name.split(".")))
        parent, _, last = name.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], last, package)


def failed_packages(error: Exception, root: Path) -> Iterator[str]:
    """Yield the packages of a folder in whose ``__init__.py`` an exception was raised."""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.name == "__init__.py" and path.is_relative_to(root) and path.parent != root:
            yield ".".join(path.parent.relative_to(root).parts)


def _defined_in(file: Path) -> set[str]:
    """Return the names of the functions, classes and variables that a file defines at its top level."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    named = {one.name for one in body if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    targets = [target for one in body if isinstance(one, ast.Assign) for target in one.targets]
    return named | {one.id for one in targets if isinstance(one, ast.Name)}
