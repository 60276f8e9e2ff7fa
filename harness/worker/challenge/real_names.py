"""Import modules of a repository under their real names, as a script in the repository does.

Folders such as ``models``, ``utils`` or ``basicsr`` of the repository come before installed packages of that name.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from harness.errors import SubmissionError
from harness.submissions.challenge.values import Symbol
from harness.worker.importing import describe, import_failure, made_up_version, place_of, search_first, unload
from harness.worker.obstacles import obstacle
from harness.worker.registries import import_with_registries
from harness.worker.source_only import forbid_byte_code

T = TypeVar("T")


def use_repository(root: Path) -> None:
    """Let imports find the modules of a repository first, and no longer those of another one."""
    forbid_byte_code(root)
    unload(root)
    importlib.invalidate_caches()
    search_first(root)
    _add_versions(root)


def _add_versions(root: Path) -> None:
    """Give packages of the repository the module ``version`` that an installation would have generated."""
    for init in root.glob("*/__init__.py"):
        package = init.parent
        if not (package / "version.py").exists() and ".version" in init.read_text(encoding="utf-8", errors="replace"):
            name = f"{package.name}.version"
            sys.modules[name] = made_up_version(name)


def import_module(name: str, root: Path) -> ModuleType:
    """Import a module of the repository.

    Raises
    ------
    SubmissionError
        It is missing, or raises when it is imported.
    UnsupportedError
        It imports a package that is not installed.
    """
    previous, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return import_with_registries(name, root)
    except SyntaxError as error:
        place = error.filename or name
        inside = Path(place).relative_to(root) if Path(place).is_relative_to(root) else place
        raise SubmissionError(f"syntax error: {error.msg}", where=f"{inside}:{error.lineno}", hint="fix it") from error
    except (Exception, SystemExit) as error:
        raise import_failure(error, root, name) from error
    finally:
        sys.dont_write_bytecode = previous


def symbol(wanted: Symbol, root: Path) -> Any:
    """Return an attribute of a module of the repository; it may be a module of a package itself.

    Raises
    ------
    SubmissionError
        There is none, or its module cannot be imported.
    """
    found: Any = import_module(wanted.module, root)
    name = wanted.module
    for part in wanted.attribute.split("."):
        name = f"{name}.{part}"
        if not hasattr(found, part):
            if not isinstance(found, ModuleType) or not hasattr(found, "__path__"):
                public = [one for one in list(vars(found)) if not one.startswith("_")][:12]
                hint = f"it defines {', '.join(public) or 'nothing'}"
                raise SubmissionError(f"{wanted.module} has no {wanted.attribute}", where=wanted.module, hint=hint)
            import_module(name, root)
        found = getattr(found, part)
    return found


def called(function: Callable[[], T], what: str, root: Path) -> T:
    """Call code of the repository and return its result.

    Raises
    ------
    SubmissionError
        It raises.
    UnsupportedError
        It imports a package that is not installed, or needs CUDA.
    """
    try:
        return function()
    except SubmissionError:
        raise
    except (Exception, SystemExit) as error:  # SystemExit is no Exception, and submitted scripts call exit()
        if (known := obstacle(error, root)) is not None:
            raise known from error
        where = place_of(error, root) or what
        raise SubmissionError(f"{what} raised {describe(error)}", where=where, hint="fix the code") from error
