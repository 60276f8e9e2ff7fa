"""Arithmetic expressions that score a network: stored as text, evaluated on numbers and arrays, never executed.

A run stores the expression of its track, so that a report can draw curves of equal score where the package that
defines the track is not installed. The text can come from a file of unknown origin. It is therefore parsed to a syntax
tree, every node is checked against a list of permitted ones, and all arithmetic is done in float64.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.tracks.figures import Figures, advice, figure_of
from harness.tracks.logarithm import logarithm

_MAX_CHARACTERS = 1000
# Far below Python's limit of recursion: checking and evaluating are recursive.
_MAX_DEPTH = 40
_LARGEST = 1e300  # a literal beyond the range of float64 would be infinite

_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
}
_FOLDS: Mapping[str, Callable[[Any, Any], Any]] = {"min": np.minimum, "max": np.maximum}


@dataclass(frozen=True, slots=True)
class Expression:
    """A score as an expression of named figures.

    The grammar is a subset of Python's: numbers, names of `harness.tracks.figures.FIGURES`, ``+ - * / **``,
    parentheses, ``A if B else C`` with one comparison ``< <= > >=`` as ``B``, and the functions ``exp``, ``exp2``,
    ``log``, ``log2``, ``log10``, ``sqrt``, ``min`` and ``max``.

    Parameters
    ----------
    text
        The expression, at most 1000 characters.

    Raises
    ------
    UsageError
        The text does not follow the grammar, or uses a name that is no figure.

    Examples
    --------
    >>> score = Expression("exp2(psnr - bicubic) / runtime_ms if psnr > bicubic else 0")
    >>> score({"psnr": 31.0, "runtime_ms": 4.0, "bicubic": 30.0})
    0.5
    """

    text: str
    # Not compared: two expressions are equal if their texts are.
    _tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The only way to set a field of a frozen dataclass after its construction.
        object.__setattr__(self, "_tree", _parse(self.text))

    @property
    def names(self) -> tuple[str, ...]:
        """The figures that the expression uses, in the order of their first use."""
        found = [node for node in ast.walk(self._tree) if isinstance(node, ast.Name)]
        # `ast.walk` goes level by level, not from left to right.
        named = sorted(found, key=lambda node: (node.lineno, node.col_offset))
        return tuple(dict.fromkeys(node.id for node in named if node.id not in _FUNCTIONS and node.id not in _FOLDS))

    def __call__(self, figures: Figures) -> float | NDArray[np.float64]:
        """Evaluate the expression element by element.

        Parameters
        ----------
        figures
            At least those of `names`: numbers, or float64 arrays whose shapes broadcast.

        Returns
        -------
        float or ndarray of float64
            Of the broadcast shape. An undefined result, such as the root of a negative number, is NaN or infinity.
        """
        return self._apply(figures, lambda variables: _evaluate(self._tree, variables))

    def log(self, figures: Figures) -> float | NDArray[np.float64]:
        """Return the natural logarithm of the value, also where the value exceeds the range of float64."""
        return self._apply(
            figures, lambda variables: logarithm(self._tree, lambda node: np.asarray(_evaluate(node, variables)))
        )

    def _apply(
        self, figures: Figures, evaluate: Callable[[Mapping[str, NDArray[np.float64]]], Any]
    ) -> float | NDArray[np.float64]:
        arrays = [np.asarray(figures[name], dtype=np.float64) for name in self.names]
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        # Undefined results are NaN or infinity by contract, without warnings.
        with np.errstate(all="ignore"):
            value = np.asarray(evaluate(dict(zip(self.names, arrays, strict=True))), dtype=np.float64)
        # broadcast_to returns a read-only view.
        return np.broadcast_to(value, shape).copy() if shape else float(value)


def _parse(text: str) -> ast.expr:
    if len(text) > _MAX_CHARACTERS:
        raise _malformed(text, f"is longer than {_MAX_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as for 1if, which Python reads as 1 if
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, SyntaxWarning, DeprecationWarning, ValueError, RecursionError, MemoryError) as error:
        raise _malformed(text, "is not an arithmetic expression") from error
    _check(tree, text, 0)
    return tree


def _check(node: ast.expr, text: str, depth: int) -> None:
    """Raise UsageError unless `node` and everything below it belong to the grammar."""
    if depth > _MAX_DEPTH:
        raise _malformed(text, f"is nested deeper than {_MAX_DEPTH} levels")
    for operand in _operands(node, text):
        _check(operand, text, depth + 1)


def _operands(node: ast.expr, text: str) -> list[ast.expr]:
    """Return the expressions that a permitted node is made of."""
    match node:
        # bool is a subclass of int. Negative numbers are a unary minus and a constant.
        case ast.Constant(value=float() | int() as value) if not isinstance(value, bool) and value <= _LARGEST:
            return []
        case ast.Name(id=name):
            # Names of functions are not accepted here: they may only be called.
            if figure_of(name) is None:
                raise UsageError(f"the score expression {text[:80]!r} uses {name!r}", hint=advice(name))
            return []
        case ast.UnaryOp(op=operator, operand=operand) if type(operator) in _OPERATORS:
            return [operand]
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            return [left, right]
        # The comparison itself is no operand: it may stand nowhere else.
        case ast.IfExp(test=ast.Compare(left=left, ops=[operator], comparators=[right]), body=body, orelse=orelse) if (
            type(operator) in _OPERATORS
        ):
            return [left, right, body, orelse]
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return [argument]
        case ast.Call(func=ast.Name(id=name), args=[_, _, *_] as arguments, keywords=[]) if name in _FOLDS:
            return arguments
    raise _malformed(text, f"contains {ast.unparse(node)!r}, which is not permitted")


def _evaluate(node: ast.expr, variables: Mapping[str, NDArray[np.float64]]) -> Any:
    """Return the value of a node that `_check` accepted."""
    match node:
        case ast.Constant(value=float() | int() as value):
            return np.float64(value)
        case ast.Name(id=name):
            return variables[name]
        case ast.UnaryOp(op=operator, operand=operand):
            return _OPERATORS[type(operator)](_evaluate(operand, variables))
        case ast.BinOp(left=left, op=operator, right=right):
            return _OPERATORS[type(operator)](_evaluate(left, variables), _evaluate(right, variables))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            condition = _evaluate(test, variables)
            # Both branches are evaluated, since the condition differs from element to element. Errors in the branch
            # that is not taken, such as a division by 0, have no effect.
            return np.where(condition, _evaluate(body, variables), _evaluate(orelse, variables))
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _OPERATORS[type(operator)](_evaluate(left, variables), _evaluate(right, variables))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            values = [_evaluate(argument, variables) for argument in arguments]
            # min and max of three and more are folded from left to right.
            return _FUNCTIONS[name](values[0]) if name in _FUNCTIONS else reduce(_FOLDS[name], values)
    raise AssertionError(f"unchecked node {node!r}")


def _malformed(text: str, reason: str) -> UsageError:
    hint = f"use numbers, names of figures, + - * / **, A if B else C, {', '.join((*_FUNCTIONS, *_FOLDS))}"
    return UsageError(f"the score expression {text[:80]!r} {reason}", hint=hint)
