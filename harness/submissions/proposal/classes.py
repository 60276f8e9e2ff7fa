"""Find the networks in Python files: classes that derive from ``nn.Module``, and the names of their submodules."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import SubmissionError
from harness.plain_files import read_inside

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 20  # of classes that derive from one another
_REGISTERING = frozenset({"add_module", "register_buffer", "register_parameter", "register_module"})
# Their children have computed names, and their forward is that of torch.
_CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict"})


@dataclass(frozen=True, slots=True)
class NetworkClass:
    """A class of a repository.

    Attributes
    ----------
    name
        Its name.
    file
        Path of its file, relative to the repository, with ``/``.
    bases
        Names of the classes that it derives from.
    attributes
        Names that its methods set on ``self``.
    is_open
        Whether further names are computed, as in ``setattr(self, f"block{i}", block)``.
    has_forward
        Whether it defines ``forward``.
    required
        Arguments without a default.
    optional
        Arguments with a default, with its source.
    used
        Names of the classes and functions that it calls.
    imports
        Outermost packages and modules that its file imports.
    """

    name: str
    file: str
    bases: tuple[str, ...]
    attributes: frozenset[str]
    is_open: bool
    has_forward: bool
    required: tuple[str, ...] = ()
    optional: dict[str, str] = field(default_factory=dict)
    used: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()


def network_classes(root: Path, files: Sequence[str]) -> list[NetworkClass]:
    """Return the networks in Python files of a repository, with the attributes of the classes that they derive from.

    Parameters
    ----------
    root
        The repository.
    files
        Paths of the files, relative to it. One that cannot be read or parsed has no classes.
    """
    found = [one for file in files for one in _classes_in(root, file)]
    by_name: dict[str, list[NetworkClass]] = {}
    for one in found:
        by_name.setdefault(one.name, []).append(one)
    return [whole for one in found if (whole := _with_bases(one, by_name)) is not None]


def _classes_in(root: Path, file: str) -> Iterator[NetworkClass]:
    try:
        tree = ast.parse(read_inside(root / file, root, _MAX_BYTES))
    except (OSError, SubmissionError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    imports = frozenset(_imports(tree))
    yield from (_described(node, file, imports) for node in tree.body if isinstance(node, ast.ClassDef))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _described(node: ast.ClassDef, file: str, imports: frozenset[str]) -> NetworkClass:
    functions = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
    inner = [one for function in functions.values() for one in ast.walk(function)]
    attributes = {name for one in inner for name in _set_on_self(one)}
    required, optional = _arguments(functions.get("__init__"))
    return NetworkClass(
        node.name,
        file,
        tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases),
        frozenset(name for name in attributes if name),
        "" in attributes,
        "forward" in functions,
        required,
        optional,
        frozenset(ast.unparse(one.func).rpartition(".")[2] for one in inner if isinstance(one, ast.Call)),
        imports,
    )


def _set_on_self(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement sets on ``self``; an empty one if the name is computed."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
        yield node.attr
    if isinstance(node, ast.Call):
        function, arguments = node.func, node.args
        if isinstance(function, ast.Name) and function.id == "setattr" and arguments[1:] and _is_self(arguments[0]):
            yield _text(arguments[1])
        if (
            isinstance(function, ast.Attribute)
            and function.attr in _REGISTERING
            and arguments
            and _is_self(function.value)
        ):
            yield _text(arguments[0])


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _arguments(function: ast.FunctionDef | None) -> tuple[tuple[str, ...], dict[str, str]]:
    if function is None:
        return (), {}
    # Without self.
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)][1:]
    defaults = function.args.defaults
    first = len(names) - len(defaults)
    optional = {name: ast.unparse(default) for name, default in zip(names[max(first, 0) :], defaults, strict=False)}
    required = names[: max(first, 0)]
    for one, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if default is None:
            required.append(one.arg)
        else:
            optional[one.arg] = ast.unparse(default)
    return tuple(required), optional


def _with_bases(one: NetworkClass, by_name: dict[str, list[NetworkClass]]) -> NetworkClass | None:
    """Return a class with what it inherits from classes of the repository; None if it is no network."""
    line, names = [one], list(one.bases)
    for name in names:  # grows by the bases of each class that is found
        # A class of the same file has precedence over others of the same name.
        near = sorted(by_name.get(name, []), key=lambda other: other.file != one.file)
        if near and near[0] not in line and len(line) < _MAX_DEPTH:
            line.append(near[0])
            names += near[0].bases
    is_container = not _CONTAINERS.isdisjoint(names)
    if not is_container and "Module" not in names:
        return None
    # The constructor is that of the first class in the line of bases that has arguments.
    initial = next((other for other in line if other.required or other.optional), one)
    return replace(
        one,
        attributes=frozenset().union(*(other.attributes for other in line)),
        is_open=is_container or any(other.is_open for other in line),
        has_forward=is_container or any(other.has_forward for other in line),
        required=initial.required,
        optional=initial.optional,
        used=frozenset().union(*(other.used for other in line)),
    )
