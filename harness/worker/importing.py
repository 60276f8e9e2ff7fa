"""Import a submission's module from its folder, after the modules of all other submissions are forgotten.

Runs in the worker: :func:`import_symbol` is the first point at which submitted code is executed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
import traceback
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import SubmissionError
from harness.worker.obstacles import PRIVATE_PREFIX, is_protected, obstacle
from harness.worker.partial_packages import failed_packages, import_partially
from harness.worker.registries import forget_registries, import_with_registries
from harness.worker.source_only import forbid_byte_code

_MOST_VERSIONS = 8  # attempts to import a module


_searched: set[str] = set()
"""Folders of submissions on ``sys.path``."""


def import_symbol(root: Path, factory: str) -> Any:
    """Import ``factory`` (``module:name``) from the folder ``root`` and return the object.

    ``from .utils import x``, ``from utils import x`` and ``import arch`` all work inside the folder, as they do with
    the challenges' own scripts. If ``root`` is the folder of an installed package and the module's first component has
    the same name, the package is imported under its real name.

    Raises
    ------
    SubmissionError
        The module is missing, has a syntax error, raises when imported, or does not define the name.
    UnsupportedError
        The module imports a package that is not installed.
    """
    module_name, _, attribute = factory.partition(":")
    module = _import(root.resolve(), module_name)
    target: Any = module
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError as error:
            public = [name for name in list(vars(module)) if not name.startswith("_")][:12]
            raise SubmissionError(
                f"{module_name} has no {attribute}",
                where=_file(module, root),
                hint=f"define it, or set factory; the module defines {', '.join(public) or 'no public names'}",
            ) from error
    return target


def _import(root: Path, name: str) -> ModuleType:
    forbid_byte_code(root)
    qualified = _prepare(root, name)
    # No __pycache__: the folder may be read-only, and new files in it would change the submission's fingerprint.
    previous, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return _imported(qualified, root, name)
    except SyntaxError as error:
        place = f"{_inside(error.filename or name, root)}:{error.lineno}"
        raise SubmissionError(f"syntax error: {error.msg}", where=place, hint="fix the file") from error
    except (Exception, SystemExit) as error:
        raise import_failure(error, root, name) from error
    finally:
        sys.dont_write_bytecode = previous


def _imported(qualified: str, root: Path, name: str) -> ModuleType:
    """Import a module; give it the ``version`` modules that packages generate when they are installed."""
    for _ in range(_MOST_VERSIONS):
        try:
            return import_with_registries(qualified, root)
        except ModuleNotFoundError as error:
            package, _, last = (error.name or "").rpartition(".")
            if last != "version" or not root.joinpath(*package.split(".")).is_dir():
                return _imported_partially(qualified, root, name, error)
            sys.modules[f"{package}.version"] = made_up_version(f"{package}.version")
            _forget(package, keep=f"{package}.version")
        except ImportError as error:
            if "attempted relative import" not in str(error) or qualified != name:
                return _imported_partially(qualified, root, name, error)
            _forget(name.split(".", maxsplit=1)[0])
            qualified = f"{_private_package(root)}.{name}"  # from .. import x, beyond the outermost package
        except Exception as error:  # noqa: BLE001 -- submitted code may raise anything
            return _imported_partially(qualified, root, name, error)
    return import_with_registries(qualified, root)


def _imported_partially(qualified: str, root: Path, name: str, error: Exception) -> ModuleType:
    """Import a module without ``__init__.py`` of packages that cannot be executed here.

    Raises
    ------
    Exception
        The module itself cannot be imported: `error`, unless it needs a package that is not installed.
    """
    is_missing = isinstance(error, ModuleNotFoundError)
    if qualified != name or not (is_missing or any(failed_packages(error, root))):
        raise error
    try:
        return import_partially(name, root, error)
    except Exception as failure:  # noqa: BLE001 -- what a module raises without its packages may have no other cause
        _forget(name.partition(".")[0])
        is_foreign = isinstance(failure, ModuleNotFoundError) and not _is_inside(failure.name or "", root)
        # What the module needs, or else what its packages need.
        raise failure if is_foreign else error from None


def _is_inside(module: str, root: Path) -> bool:
    return module.partition(".")[0] in names_in(root)


def made_up_version(name: str) -> ModuleType:
    """Return a module ``version`` in place of the one that an installation of a package would have generated."""
    module = ModuleType(name)
    vars(module).update(__version__="0", __gitsha__="unknown", version_info=(0, 0, 0), short_version="0")
    return module


def _forget(package: str, keep: str = "") -> None:
    """Remove a package whose import has failed from ``sys.modules``, so that it is executed anew."""
    for name in list(sys.modules):
        if (name == package or name.startswith(f"{package}.")) and name != keep:
            sys.modules.pop(name, None)  # another thread may have removed it


def _prepare(root: Path, name: str) -> str:
    """Make ``name`` importable and return the qualified name to import it under."""
    relative, top = Path(*name.split(".")), name.split(".", maxsplit=1)[0]
    unload(root)
    importlib.invalidate_caches()  # files may have been written since the last import in the same second
    file = (root / relative).with_suffix(".py")
    if file.is_file() or (root / relative / "__init__.py").is_file():
        search_first(root)  # for absolute imports of sibling modules
        private = f"{_private_package(root)}.{name}"
        # Under its real name, so that a module that imports it again gets the same classes. That is not possible beside
        # a module of Python or of the harness with this name, and for ``from .utils import x`` in the folder itself.
        taken = top in sys.stdlib_module_names or is_protected(top) or _is_shadowed(root, top)
        return private if taken or (name == top and _imports_relatively(file)) else name
    if top == root.name:  # an installed package
        if str(root.parent) not in sys.path:
            sys.path.append(str(root.parent))
        return name
    files = sorted(path.name for path in root.glob("*.py"))[:12]
    raise SubmissionError(
        f"there is no {relative}.py",
        where=str(root),
        hint=f"add it, or set factory in submission.toml; the folder has {', '.join(files) or 'no Python files'}",
    )


def _is_shadowed(root: Path, top: str) -> bool:
    """Return whether an installed package hides a folder without ``__init__.py`` of the same name."""
    if (root / f"{top}.py").is_file() or (root / top / "__init__.py").is_file():
        return False
    spec = PathFinder.find_spec(top)
    # A folder without __init__.py is a namespace package, without an origin. Regular packages take precedence over it.
    return spec is not None and spec.origin is not None


def _imports_relatively(file: Path) -> bool:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return False
    return any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


def _private_package(root: Path) -> str:
    """Register an empty package whose submodules are the files of ``root``, so that relative imports work.

    The name is derived from the path, so that ``arch.py`` of two submissions are different modules.
    """
    name = PRIVATE_PREFIX + hashlib.sha256(str(root).encode(errors="surrogateescape")).hexdigest()[:12]
    package = ModuleType(name)
    package.__path__ = [str(root)]
    package.__spec__ = ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package
    return name


def search_first(root: Path) -> None:
    """Let imports find the modules of a submission's folder first, until :func:`unload` is called for another one."""
    _searched.add(str(root))
    sys.path.insert(0, str(root))


def searched_folders() -> frozenset[str]:
    """Return the folders of submissions on ``sys.path``."""
    return frozenset(_searched)


def names_in(root: Path) -> set[str]:
    """Return the names of the modules and packages in a folder."""
    return {path.stem for path in root.iterdir() if path.suffix == ".py" or path.is_dir()}


def unload(root: Path) -> None:
    """Remove modules of earlier submissions, and modules with the name of a file in ``root``, from ``sys.modules``.

    Without the latter, ``import utils`` in a submission would return an installed module ``utils`` that was imported
    before. Modules that the harness itself depends on are kept.
    """
    private = {path for package in _packages() for path in package.__path__} | _searched
    # In place, because other modules may hold a reference to the list.
    sys.path[:] = [entry for entry in sys.path if entry not in private]
    _searched.clear()
    forget_registries()
    own = names_in(root) - sys.stdlib_module_names
    for name, module in sys.modules.copy().items():
        file = str(getattr(module, "__file__", None) or "")
        from_earlier = name.startswith(PRIVATE_PREFIX) or any(file.startswith(f"{path}/") for path in private)
        if from_earlier or (name.split(".")[0] in own and not is_protected(name)):
            sys.modules.pop(name, None)


def _packages() -> list[ModuleType]:
    return [
        module for name, module in sys.modules.copy().items() if name.startswith(PRIVATE_PREFIX) and "." not in name
    ]


def import_failure(error: BaseException, root: Path, name: str) -> SubmissionError:
    """Return the error of a submission for what the import of its module `name` raised."""
    where = place_of(error, root) or name
    if (reason := obstacle(error, root)) is not None:
        return reason
    if isinstance(error, SystemExit):
        return SubmissionError(
            f"ends the program (SystemExit {error.code}) while it is imported",
            where=where,
            hint="remove the call of exit()",
        )
    return SubmissionError(f"importing it raised {describe(error)}", where=where, hint="fix the code")


def describe(error: BaseException) -> str:
    """Return class and message of ``error`` on one line of limited length."""
    try:
        text = " ".join(str(error).split())[:300]
    except Exception:  # noqa: BLE001 -- __str__ may be submitted code
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place_of(error: BaseException, root: Path) -> str | None:
    """Return ``file:line`` of the innermost stack frame of ``error`` inside ``root``, or None if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
    return f"{_inside(own[-1].filename, root)}:{own[-1].lineno}" if own else None


def _inside(filename: str, root: Path) -> str:
    path = Path(filename)
    return str(path.relative_to(root)) if path.is_relative_to(root) else filename


def _file(module: ModuleType, root: Path) -> str:
    return _inside(getattr(module, "__file__", None) or module.__name__, root)
