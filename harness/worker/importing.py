"""Import a submission's module from its folder under a private name, so that modules of submissions never collide.

Runs in the worker: :func:`import_symbol` is the first point at which submitted code is executed.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import SubmissionError, UnsupportedError
from harness.worker.source_only import forbid_byte_code


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
            public = [name for name in vars(module) if not name.startswith("_")][:12]
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
        return importlib.import_module(qualified)
    except SyntaxError as error:
        place = f"{_inside(error.filename or name, root)}:{error.lineno}"
        raise SubmissionError(f"syntax error: {error.msg}", where=place, hint="fix the file") from error
    except (Exception, SystemExit) as error:
        raise import_failure(error, root, name) from error
    finally:
        sys.dont_write_bytecode = previous


def _prepare(root: Path, name: str) -> str:
    """Make ``name`` importable and return the qualified name to import it under."""
    relative = Path(*name.split("."))
    unload(root)
    importlib.invalidate_caches()  # files may have been written since the last import in the same second
    if (root / relative).with_suffix(".py").is_file() or (root / relative / "__init__.py").is_file():
        sys.path.insert(0, str(root))  # for absolute imports of sibling modules
        return f"{_private_package(root)}.{name}"
    if name.split(".", maxsplit=1)[0] == root.name:  # an installed package
        if str(root.parent) not in sys.path:
            sys.path.append(str(root.parent))
        return name
    files = sorted(path.name for path in root.glob("*.py"))[:12]
    raise SubmissionError(
        f"there is no {relative}.py",
        where=str(root),
        hint=f"add it, or set factory in submission.toml; the folder has {', '.join(files) or 'no Python files'}",
    )


def _private_package(root: Path) -> str:
    """Register an empty package whose submodules are the files of ``root``, so that relative imports work.

    The name is derived from the path, so that ``arch.py`` of two submissions are different modules.
    """
    name = "_submission_" + hashlib.sha256(str(root).encode(errors="surrogateescape")).hexdigest()[:12]
    package = ModuleType(name)
    package.__path__ = [str(root)]
    package.__spec__ = ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package
    return name


def unload(root: Path) -> None:
    """Remove modules of earlier submissions, and modules with the name of a file in ``root``, from ``sys.modules``.

    Without the latter, ``import utils`` in a submission would return an installed module ``utils`` that was imported
    before. Modules that the harness itself depends on are kept.
    """
    private = {path for package in _packages() for path in package.__path__}
    # In place, because other modules may hold a reference to the list.
    sys.path[:] = [entry for entry in sys.path if entry not in private]
    own = {path.stem for path in root.iterdir() if path.suffix == ".py" or path.is_dir()} - sys.stdlib_module_names
    for name, module in list(sys.modules.items()):
        file = str(getattr(module, "__file__", None) or "")
        from_earlier = name.startswith("_submission_") or any(file.startswith(f"{path}/") for path in private)
        if from_earlier or (name.split(".")[0] in own and not _is_protected(name)):
            del sys.modules[name]


def _packages() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith("_submission_") and "." not in name]


def _is_protected(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in {"harness", "torch", "numpy", "__main__"}


def import_failure(error: BaseException, root: Path, name: str) -> SubmissionError:
    """Return the error of a submission for what the import of its module `name` raised."""
    where = place_of(error, root) or name
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.split(".")[0]
        # A missing file of the submission itself is its own error, not a missing package.
        if not (root / top).exists() and not (root / f"{top}.py").exists() and not top.startswith("_submission_"):
            return UnsupportedError(
                f"imports {error.name}, which is not installed",
                where=where,
                hint=f"install {top} beside the harness, or list it under requires and run with --install",
            )
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
