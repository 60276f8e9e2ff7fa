"""Which files of a repository a module needs, and which packages: by the imports in its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from harness.errors import SubmissionError
from harness.plain_files import Deadline, read_inside

_MAX_BYTES = 2_000_000
_MAX_FILES = 2000
# Characters of a literal that may be the path of a file.
_MAX_TEXT = 200


@dataclass(frozen=True)
class Import:
    """One import of a module.

    Attributes
    ----------
    module
        Its dotted name; that of the package where `level` is above 0.
    names
        What is imported from it; each may be a module itself.
    level
        Number of dots of a relative import.
    is_certain
        Whether it happens whenever the file is imported: not in a function, a condition or a ``try``.
    """

    module: str
    names: tuple[str, ...]
    level: int
    is_certain: bool


@dataclass(frozen=True)
class Source:
    """What the source of a file refers to: imports, and texts that may be the names of files."""

    imports: tuple[Import, ...] = ()
    texts: frozenset[str] = frozenset()


@dataclass
class Needs:
    """What a branch of a script needs.

    Attributes
    ----------
    files
        Relative paths of files of the repository.
    packages
        Top-level names of modules that the repository does not have and that are imported for certain, each with the
        file that imports it. Those of which only a registry is imported are left out.
    """

    files: set[str] = field(default_factory=set)
    packages: dict[str, str] = field(default_factory=dict)


def needs_of(root: Path, modules: Sequence[str]) -> Needs:
    """Return the files that some modules of a repository need, and the packages.

    Parameters
    ----------
    root
        The repository; modules are found from it, as with a script that lies in it.
    modules
        Dotted names.

    Raises
    ------
    SubmissionError
        A file is no plain file or is a link that leads out of the repository, or there are too many.
    """
    needs, done, deadline = Needs(), dict[str, bool](), Deadline()
    waiting = [(Import(module, (), 0, is_certain=True), "", True) for module in modules]
    while waiting:
        imported, by, certain = waiting.pop()
        files = list(_files_of(root, imported, by))
        if not files and certain and imported.level == 0 and imported.module and not is_of_registry(imported):
            needs.packages.setdefault(imported.module.partition(".")[0], by)
        for file in files:
            # A file that only optional imports reached is visited again for a certain one, whose packages are required.
            if done.get(file, False) or (file in done and not certain):
                continue
            deadline.check(root)
            done[file] = certain
            needs.files.add(file)
            if len(done) > _MAX_FILES:
                raise SubmissionError(f"needs more than {_MAX_FILES} files", where=str(root), hint="give it a manifest")
            source = source_of(root, file)
            needs.files |= _named_files(root, file, source.texts)
            waiting += [(one, file, certain and one.is_certain) for one in source.imports]
    return needs


def is_of_registry(imported: Import) -> bool:
    """Return whether an import takes only tables of classes from a framework, which has a stand-in.

    >>> is_of_registry(Import("basicsr.utils.registry", ("ARCH_REGISTRY",), 0, is_certain=True))
    True
    """
    package, _, last = imported.module.rpartition(".")
    tables = all(name.isupper() for name in imported.names)
    return imported.level == 0 and bool(package) and last == "registry" and bool(imported.names) and tables


def _files_of(root: Path, imported: Import, by: str) -> Iterator[str]:
    """Yield the files that an import reads: those of the module, of its packages and of what is taken from it."""
    beside = PurePosixPath(by).parent
    if imported.level:
        for _ in range(imported.level - 1):
            beside = beside.parent
        places = [beside]
    else:  # the second place: code that adds its own folder to sys.path
        places = [PurePosixPath(), beside]
    parts = [part for part in imported.module.split(".") if part]
    for place in dict.fromkeys(places):
        found = list(_module_files(root, place, parts))
        for name in imported.names:  # of a package without __init__.py, these are the only files
            found += [file for file in _module_files(root, place, [*parts, name]) if file not in found]
        if found or not parts:
            yield from found
            return


def _module_files(root: Path, place: PurePosixPath, parts: Sequence[str]) -> Iterator[str]:
    """Yield the ``__init__.py`` of each package on the way to a module, and its own file; nothing if there is none."""
    if not all(part.isidentifier() for part in parts):
        return
    folder = place
    packages: list[str] = []
    for part in parts:
        # Python prefers a package to a module of the same name.
        if _is_file(root, folder / f"{part}.py") and not (root / folder / part / "__init__.py").is_file():
            yield from packages
            yield (folder / f"{part}.py").as_posix()
            return
        folder /= part
        if not (root / folder).is_dir():
            return
        if _is_file(root, folder / "__init__.py"):
            packages.append((folder / "__init__.py").as_posix())
    yield from packages


def _is_file(root: Path, path: PurePosixPath) -> bool:
    try:
        return (root / path).is_file()
    except OSError:
        return False


def _named_files(root: Path, by: str, texts: frozenset[str]) -> set[str]:
    """Return files of the repository whose paths are texts in a source, relative to the repository or to the file."""
    found = set()
    for text in texts:
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or not path.suffix:
            continue
        for place in (path, PurePosixPath(by).parent / path):
            if _is_file(root, place):
                found.add(place.as_posix())
    return found


def source_of(root: Path, file: str) -> Source:
    """Return what a file refers to; nothing for one that is no Python.

    Raises
    ------
    SubmissionError
        It is no plain file, or a link that leads out of the repository.
    """
    try:
        content = read_inside(root / file, root, _MAX_BYTES)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise SubmissionError(reason, where=str(root / file), hint="change its permissions") from error
    return _parsed(content) if file.endswith(".py") else Source()


@lru_cache(maxsize=512)  # the branches of one script share packages
def _parsed(content: bytes) -> Source:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # its import raises this again, with its place
        return Source()
    certain = {id(node) for node in tree.body}
    imports: list[Import] = []
    texts: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [Import(one.name, (), 0, id(node) in certain) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(one.name for one in node.names)
            imports.append(Import(node.module or "", names, node.level, id(node) in certain))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) <= _MAX_TEXT:
            texts.add(node.value)
    return Source(tuple(imports), frozenset(text for text in texts if text.strip() and "\0" not in text))
