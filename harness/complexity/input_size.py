"""Sizes of inputs: multiples that the sides must have, and the search for the smallest one that a network accepts."""

from __future__ import annotations

import math
from collections.abc import Callable

MULTIPLES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Multiples that are tried: unshuffling by 2, 3, 4 and windows of up to 64."""


def rounded_up(length: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `length`."""
    return math.ceil(length / multiple) * multiple


def odd_multiple(length: int, multiple: int) -> int:
    """Return the smallest odd multiple of `multiple` that is at least `length`.

    A network that needs sides of a larger even multiple rejects it.
    """
    quotient = math.ceil(length / multiple)
    return multiple * (quotient + 1 - quotient % 2)


def smallest_multiple(accepts: Callable[[int], bool], declared: int = 1) -> int | None:
    """Return the smallest multiple for which `accepts` is true; None where it is for none.

    Parameters
    ----------
    accepts
        Tells whether the network takes an input whose sides are odd multiples of its argument.
    declared
        Only multiples of it are tried.
    """
    return next((multiple for factor in MULTIPLES if accepts(multiple := declared * factor)), None)
