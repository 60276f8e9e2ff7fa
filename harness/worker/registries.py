"""Stand in for the registry of a framework that cannot be imported: a table of classes by their names.

Networks that were trained with BasicSR, its forks or OpenMMLab are entered in a table, as by
``@ARCH_REGISTRY.register()``. Often that is all that their code takes from the framework, whose packages import the
libraries of its data sets and metrics. A class is the same with and without its entry.
"""

from __future__ import annotations

import ast
import importlib
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import SubmissionError
from harness.submissions.challenge.imports import Import, is_of_registry, source_of
from harness.worker.obstacles import is_protected

_MOST = 8  # registries of one submission

_made_up: set[str] = set()
"""Names of the modules that were put into ``sys.modules``."""


class Registry(dict[str, Any]):
    """Table of classes by their names, whose methods are those of the frameworks."""

    def register(self, thing: Any = None, *_arguments: Any, **_keywords: Any) -> Any:
        """Enter a class, as a decorator with or without parentheses; return it as it is."""
        if thing is None or isinstance(thing, str):
            return self.register
        self[thing.__name__] = thing
        return thing

    register_module = register


class _RegistryModule(ModuleType):
    """Module that has a registry under every name in capitals."""

    def __getattr__(self, name: str) -> Registry:
        """Return a new registry, and keep it."""
        if not name.isupper():
            raise AttributeError(f"module {self.__name__} has no attribute {name}")
        registry = Registry()
        setattr(self, name, registry)
        return registry


def import_with_registries(name: str, root: Path) -> ModuleType:
    """Import a module of a submission, with stand-ins for registries that cannot be imported.

    Parameters
    ----------
    name
        Its dotted name.
    root
        Folder of the submission. Its own registries have no stand-in.

    Raises
    ------
    ImportError
        The submission needs something else that cannot be imported.
    """
    first: ImportError | None = None
    for _ in range(_MOST):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            module = _registry_wanted(error, root)
            if module is None or module in _made_up:
                # What is missing of a framework that has a stand-in is missing because of the first failure.
                raise (first if first is not None and _is_made_up(error.name or "") else error) from None
            first = first or error
            _add(module)
    return importlib.import_module(name)


def forget_registries() -> None:
    """Remove all stand-ins from ``sys.modules``."""
    for name in _made_up:
        sys.modules.pop(name, None)
    _made_up.clear()


def _registry_wanted(error: ImportError, root: Path) -> str | None:
    """Return the registry whose import failed, if the file that imports it needs nothing else of its framework."""
    for frame in traceback.extract_tb(error.__traceback__):
        imports = [one for one in _imports_of(frame.filename, root) if one.is_certain and not one.level]
        wanted = {one.module for one in imports if is_of_registry(one)} & _modules_at(frame)
        for module in wanted:
            top = _outermost(module)
            others = [one for one in imports if _outermost(one.module) == top and not is_of_registry(one)]
            if not others and not _is_own(top, root) and not _is_needed(top):
                return module
    return None


def _is_needed(package: str) -> bool:
    """Return whether the harness or Python itself is made of a package."""
    return package in sys.stdlib_module_names or is_protected(package)


def _imports_of(file: str, root: Path) -> Sequence[Import]:
    path = Path(file)
    try:
        return source_of(root, path.relative_to(root).as_posix()).imports if path.is_relative_to(root) else ()
    except SubmissionError:  # a link that leads out
        return ()


def _modules_at(frame: traceback.FrameSummary) -> set[str]:
    """Return the modules from which the statement of a frame imports."""
    try:
        statements = ast.parse(frame.line or "").body
    except SyntaxError:  # the first line of several
        return {word for word in (frame.line or "").split() if "." in word}
    return {one.module for one in statements if isinstance(one, ast.ImportFrom) and one.module}


def _outermost(module: str) -> str:
    return module.partition(".")[0]


def _is_own(package: str, root: Path) -> bool:
    return (root / package).is_dir() or (root / f"{package}.py").is_file()


def _is_made_up(module: str) -> bool:
    return _outermost(module) in {_outermost(one) for one in _made_up}


def _add(module: str) -> None:
    *packages, _ = module.split(".")
    for depth in range(1, len(packages) + 1):
        name = ".".join(packages[:depth])
        if name not in sys.modules:
            package = sys.modules[name] = ModuleType(name)
            package.__path__ = []
            package.__spec__ = ModuleSpec(name, None, is_package=True)
            _made_up.add(name)
    sys.modules[module] = _RegistryModule(module)
    _made_up.add(module)
