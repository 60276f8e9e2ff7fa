"""Evaluate expressions of a challenge's script: literals, paths, imported names and calls of the repository's classes.

Nothing is executed. The text is untrusted, so every operation is bounded in the size of its result.
"""

from __future__ import annotations

import ast
import builtins
import operator
import posixpath
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from harness.submissions.challenge.values import Checkpoint, ImportedModule, Known, Made, Symbol, Unclear, Value

NEUTRAL_METHODS = frozenset("eval to cuda cpu train float half requires_grad_ share_memory".split())
"""Methods of a network that do not change what it computes. The harness chooses device, precision and mode itself."""

_FOREIGN = sys.stdlib_module_names | {"torch", "numpy", "fvcore"}
"""Modules whose functions make no network of a team."""
# Bounds of intermediate results: repeated multiplication or a field such as %999999999d would fill the memory.
_MOST_ITEMS = 1000
_MOST_DIGITS = 40
# A width or a precision of 100 and more in a format.
_LONG_FIELD = re.compile(r"\d{3,}")
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
}  # fmt: skip
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many, ast.Is: operator.is_, ast.IsNot: operator.is_not,
}  # fmt: skip
_BUILTINS: Mapping[str, Callable[..., Any]] = {
    "str": str, "int": int, "float": float, "list": list, "tuple": tuple, "dict": dict, "bool": bool,
}  # fmt: skip
# Paths stay relative to the repository, in which the script is started; hence abspath only normalizes.
_PATHS: Mapping[str, Callable[..., str]] = {
    "os.path.join": posixpath.join,
    "os.path.abspath": posixpath.normpath,
    "os.path.realpath": posixpath.normpath,
    "os.path.normpath": posixpath.normpath,
    "os.path.dirname": posixpath.dirname,
    "os.path.basename": posixpath.basename,
    "os.getcwd": lambda: "",
    "pathlib.Path": posixpath.join,
}
_RENAMING = frozenset(
    "dict OrderedDict list tuple len isinstance hasattr any all next iter sorted enumerate zip print str "
    "get items keys values copy replace removeprefix removesuffix startswith endswith split join strip lstrip pop "
    "update setdefault to cpu cuda float detach clone contiguous state_dict format".split()
)
"""Functions and methods that change the keys of a checkpoint and not its weights."""
_SAME = frozenset({"copy.deepcopy", "copy.copy", "torch.nn.DataParallel"})
"""Functions whose result is their first argument, as far as the weights are concerned."""
_READERS = frozenset({"torch.load", "safetensors.torch.load_file"})


@dataclass
class Scope:
    """The names of a script while one of its branches is read.

    Attributes
    ----------
    number
        Number of the branch.
    number_names
        Names of the variables and attributes that hold it.
    names
        Values of the others.
    stars
        Modules of which all names were imported.
    """

    number: int
    number_names: frozenset[str]
    names: dict[str, Value] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)

    def get(self, name: str) -> Value:
        """Return the value of a name."""
        if name in self.names:
            return self.names[name]
        if name in self.number_names:
            return Known(self.number)
        if name in ("os", "torch", "importlib", "copy"):
            return ImportedModule(name)
        # With one import of all names, a name that nothing else defines can only be of that module.
        if name and len(self.stars) == 1 and not hasattr(builtins, name):
            return Symbol(self.stars[0], name)
        return Unclear(name)

    def mentioned(self, node: ast.AST) -> list[Value]:
        """Return the values of all names in a piece of source."""
        return [self.names[one.id] for one in ast.walk(node) if isinstance(one, ast.Name) and one.id in self.names]

    def touches_network(self, node: ast.AST) -> bool:
        """Return whether a piece of source mentions something that the repository makes."""
        return any(isinstance(value, Made) for value in self.mentioned(node))

    def checkpoint_in(self, node: ast.AST) -> Checkpoint | None:
        """Return the checkpoint whose weights a piece of source holds under other names; None if there is none."""
        if not _only_renames(node):
            return None
        found = {value.path for value in self.mentioned(node) if isinstance(value, Checkpoint)}
        return Checkpoint(found.pop(), None) if len(found) == 1 else None


def _only_renames(node: ast.AST) -> bool:
    """Return whether nothing in a piece of source computes with weights."""
    joined = _joined_texts(node)
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            called = one.func.attr if isinstance(one.func, ast.Attribute) else getattr(one.func, "id", "")
            if called not in _RENAMING:
                return False
        elif isinstance(one, ast.BinOp) and one not in joined:
            return False
    return True


def _joined_texts(node: ast.AST) -> set[ast.AST]:
    """Return the additions that join texts: of a literal, or within a key, as in ``{prefix + k: v for ...}``."""
    found: set[ast.AST] = set()
    for one in ast.walk(node):
        key = one.key if isinstance(one, ast.DictComp) else one.slice if isinstance(one, ast.Subscript) else None
        found |= set() if key is None else {inner for inner in ast.walk(key) if _is_addition(inner)}
        # A walk meets an addition before those that it consists of.
        if _is_addition(one) and (one in found or any(map(_is_text, _operands(one)))):
            found |= {one, one.left, one.right}
    return found


def _operands(node: ast.expr) -> list[ast.expr]:
    """Return what a chain of additions adds."""
    return [*_operands(node.left), *_operands(node.right)] if _is_addition(node) else [node]


def _is_addition(node: ast.AST) -> TypeGuard[ast.BinOp]:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def evaluate(node: ast.expr, scope: Scope) -> Value:
    """Return what an expression stands for."""
    try:
        return _evaluate(node, scope)
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError):  # the script would raise it, too
        return Unclear(ast.unparse(node))


def _evaluate(node: ast.expr, scope: Scope) -> Value:
    match node:
        case ast.Constant(value=value):
            return Known(value)
        case ast.Name(id=name):
            # Relative to the repository, as all paths are here.
            return Known("test_demo.py") if name == "__file__" else scope.get(name)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return _sequence(node, items, scope)
        case ast.Dict(keys=keys, values=values):
            return _table(node, keys, values, scope)
        case ast.IfExp(test=test, body=body, orelse=other):
            known = evaluate(test, scope)
            return evaluate(body if known.value else other, scope) if isinstance(known, Known) else _rest(node, scope)
        case ast.Attribute(value=base, attr=name):
            return _attribute(node, evaluate(base, scope), name, scope)
        case ast.Subscript(value=base, slice=key):
            return _item(node, evaluate(base, scope), evaluate(key, scope), scope)
        case ast.Call():
            return _call(node, scope)
        case _:
            return _operation(node, scope)


def _operation(node: ast.expr, scope: Scope) -> Value:
    match node:
        case ast.JoinedStr(values=parts):
            return _formatted(parts, scope)
        case ast.UnaryOp(op=sign, operand=operand):
            changed = _SIGNS[type(sign)](_known(operand, scope))
            return Known(changed)
        case ast.BinOp(left=left, op=sign, right=right):
            one, other = evaluate(left, scope), evaluate(right, scope)
            if isinstance(one, Known) and isinstance(other, Known):
                return Known(_combined(type(sign), one.value, other.value))
            return _rest(node, scope)
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            return Known(_COMPARISONS[type(sign)](_known(left, scope), _known(right, scope)))
        case _:
            return _rest(node, scope)


def _rest(node: ast.expr, scope: Scope) -> Value:
    """Return a checkpoint if the expression computes from one and from no network, as in a loop over its keys."""
    checkpoint = None if scope.touches_network(node) else scope.checkpoint_in(node)
    return checkpoint or Unclear(ast.unparse(node))


def _known(node: ast.expr, scope: Scope) -> Any:
    value = evaluate(node, scope)
    if not isinstance(value, Known):
        raise LookupError(ast.unparse(node))
    return value.value


def _sequence(node: ast.expr, items: list[ast.expr], scope: Scope) -> Value:
    values = [evaluate(item, scope) for item in items]
    if not all(isinstance(value, Known) for value in values):
        return _rest(node, scope)
    plain = [value.value for value in values if isinstance(value, Known)]
    return Known(_bounded(tuple(plain) if isinstance(node, ast.Tuple) else plain))


def _table(node: ast.expr, keys: list[ast.expr | None], values: list[ast.expr], scope: Scope) -> Value:
    # None is the key of ``**other``.
    if None in keys:
        return _rest(node, scope)
    pairs = [(_known(key, scope), _known(value, scope)) for key, value in zip(keys, values, strict=True) if key]
    return Known(_bounded(dict(pairs)))


def _formatted(parts: list[ast.expr], scope: Scope) -> Value:
    text = ""
    for part in parts:
        if isinstance(part, ast.FormattedValue):
            spec = _known(part.format_spec, scope) if part.format_spec is not None else ""
            text += _as_text(_known(part.value, scope), spec)
        else:
            text += str(_known(part, scope))
    return Known(_bounded(text))


def _as_text(value: object, spec: str) -> str:
    if not isinstance(value, str | int | float) or _LONG_FIELD.search(spec):
        raise ValueError(spec)
    return format(value, spec)


def _combined(sign: type[ast.operator], one: Any, other: Any) -> Any:
    """Apply an operator; raise ValueError where the result could be large."""
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if numbers and len(str(one)) + len(str(other)) > _MOST_DIGITS:
        raise ValueError("numbers with many digits")
    if not numbers and sign is ast.Mult:
        count, items = (one, other) if isinstance(one, int) else (other, one)
        if count * len(items) > _MOST_ITEMS:
            raise ValueError("a long sequence")
    if not numbers and sign is ast.Mod and _LONG_FIELD.search(one):
        raise ValueError("a wide field")
    if not numbers and sign is ast.Div and isinstance(one, str) and isinstance(other, str):
        return posixpath.join(one, other)  # of pathlib
    return _bounded(_OPERATORS[sign](one, other))


def _bounded(value: Any) -> Any:
    """Return a value of limited size; raise ValueError for others. Reused names could double it in each line."""
    left, waiting = _MOST_ITEMS, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one
        # Four characters of a text count as one item.
        left -= len(one) // 4 + 1 if isinstance(one, str) else 1
        if left < 0 or len(waiting) > _MOST_ITEMS:
            raise ValueError("a large value")
    return value


def _attribute(node: ast.expr, base: Value, name: str, scope: Scope) -> Value:
    if name in scope.number_names:
        return Known(scope.number)
    if isinstance(base, ImportedModule):
        return Symbol(base.name, name)
    if isinstance(base, Symbol):
        return Symbol(base.module, f"{base.attribute}.{name}")
    return _rest(node, scope)


def _item(node: ast.expr, base: Value, key: Value, scope: Scope) -> Value:
    if isinstance(base, Checkpoint) and isinstance(key, Known) and isinstance(key.value, str):
        # Keys that follow an unknown one are of no use.
        return Checkpoint(base.path, None if base.keys is None else (*base.keys, key.value))
    if isinstance(base, Checkpoint):
        return Checkpoint(base.path, None)
    if isinstance(base, Known) and isinstance(key, Known):
        return Known(base.value[key.value])
    return _rest(node, scope)


def _call(node: ast.Call, scope: Scope) -> Value:
    if isinstance(node.func, ast.Attribute):
        base = evaluate(node.func.value, scope)
        if not isinstance(base, ImportedModule | Symbol):
            return _method(node, base, node.func.attr, scope)
    function = evaluate(node.func, scope)
    if isinstance(function, Symbol):
        return _symbol_call(node, function, scope)
    if isinstance(node.func, ast.Name) and isinstance(function, Unclear):
        return _builtin_call(node, node.func.id, scope)
    return _rest(node, scope)


def _method(node: ast.Call, base: Value, name: str, scope: Scope) -> Value:
    if isinstance(base, Made) and name in NEUTRAL_METHODS:
        return base
    if isinstance(base, Checkpoint):
        if name == "get" and len(node.args) == 1:
            return _item(node, base, evaluate(node.args[0], scope), scope)
        return Checkpoint(base.path, None) if name in _RENAMING else Unclear(ast.unparse(node))
    if isinstance(base, Known) and isinstance(base.value, str) and name == "format" and not node.keywords:
        # A field width is part of the text: "{:999999999}".
        if _LONG_FIELD.search(base.value):
            raise ValueError("a wide field")
        return Known(base.value.format(*(_plain(_known(one, scope)) for one in node.args)))
    return _rest(node, scope)


def _plain(value: object) -> object:
    """Return a value of which a format string can read no attributes that matter."""
    if not isinstance(value, str | int | float):
        raise TypeError(type(value).__name__)
    return value


def _symbol_call(node: ast.Call, function: Symbol, scope: Scope) -> Value:
    name = function.dotted
    if name in _PATHS:
        return Known(_bounded(_PATHS[name](*(_known(one, scope) for one in node.args))))
    if name in _READERS and node.args:
        return _read(node.args[0], scope)
    if name == "importlib.import_module" and node.args:
        return ImportedModule(str(_known(node.args[0], scope)))
    if name in _SAME and node.args:
        return evaluate(node.args[0], scope)
    if name == "collections.OrderedDict" and not node.args:
        return Known({})
    if function.module.partition(".")[0] in _FOREIGN:
        return _rest(node, scope)
    return _made(node, function, scope)


def _read(node: ast.expr, scope: Scope) -> Value:
    path = evaluate(node, scope)
    if isinstance(path, Known) and isinstance(path.value, str):
        return Checkpoint(posixpath.normpath(path.value))
    return Unclear(ast.unparse(node))


def _made(node: ast.Call, function: Symbol, scope: Scope) -> Made:
    if any(isinstance(one, ast.Starred) for one in node.args) or any(one.arg is None for one in node.keywords):
        return Made(function, (Unclear(ast.unparse(node)),))
    arguments = tuple(evaluate(one, scope) for one in node.args)
    return Made(function, arguments, tuple((one.arg or "", evaluate(one.value, scope)) for one in node.keywords))


def _builtin_call(node: ast.Call, name: str, scope: Scope) -> Value:
    if name == "getattr" and len(node.args) >= 2:
        base, attribute = evaluate(node.args[0], scope), evaluate(node.args[1], scope)
        if isinstance(attribute, Known) and isinstance(attribute.value, str):
            return _attribute(node, base, attribute.value, scope)
    if name in _BUILTINS and not node.keywords and len(node.args) <= 1:
        given = [_known(one, scope) for one in node.args]
        if all(len(str(one)) <= _MOST_ITEMS for one in given):
            return Known(_BUILTINS[name](*given))
    return _rest(node, scope)
