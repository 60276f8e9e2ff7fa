"""Logarithms of arithmetic expressions whose values may exceed the range of float64."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Evaluate = Callable[[ast.expr], NDArray[np.float64]]


def logarithm(node: ast.expr, evaluate: Evaluate) -> NDArray[np.float64]:
    """Return the natural logarithm of a checked expression, element by element.

    Products, quotients, powers, exponentials and sums are rearranged, so that the logarithm of ``exp(1000)`` is 1000
    although float64 has no such value. A sum is taken by ``logaddexp``. Where a factor is negative, the logarithm of
    the value itself is returned.

    Parameters
    ----------
    node
        The expression.
    evaluate
        Returns the value of an expression.
    """
    value = _rearranged(node, evaluate)
    # The logarithm of a negative factor is NaN, although the product may be positive.
    undefined = np.isnan(value)
    return np.where(undefined, np.log(evaluate(node)), value) if np.any(undefined) else value


def _rearranged(node: ast.expr, evaluate: Evaluate) -> NDArray[np.float64]:
    def log(part: ast.expr) -> NDArray[np.float64]:
        return logarithm(part, evaluate)

    result: Any
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            result = np.logaddexp(log(left), log(right))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            result = log(left) + log(right)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            result = log(left) - log(right)
        case ast.BinOp(left=base, op=ast.Pow(), right=power):
            # log(base ** power); the exponent is a plain value.
            result = evaluate(power) * log(base)
        case ast.Call(func=ast.Name(id="exp"), args=[argument]):
            result = evaluate(argument)
        case ast.Call(func=ast.Name(id="exp2"), args=[argument]):
            result = evaluate(argument) * math.log(2)
        case ast.Call(func=ast.Name(id="sqrt"), args=[argument]):
            result = log(argument) / 2
        case ast.IfExp(test=test, body=body, orelse=orelse):
            # Both branches are computed, as in `expression._evaluate`.
            result = np.where(evaluate(test), log(body), log(orelse))
        case _:
            result = np.log(evaluate(node))
    return np.asarray(result, dtype=np.float64)
