"""Sizes of inputs: multiples that the sides must have, and the search for the smallest one that a network accepts."""

from __future__ import annotations

import math
from collections.abc import Callable

# Window sizes and total downsampling factors, whose least common multiples are tried besides small multiples.
_WINDOWS = range(5, 17)
_STRIDES = (2, 4, 8, 16, 32)
# Larger least common multiples are not tried.
_LARGEST = 256

MULTIPLES = tuple(
    sorted(
        {*range(1, 129), 192, 256} | {both for w in _WINDOWS for s in _STRIDES if (both := math.lcm(w, s)) <= _LARGEST}
    )
)
"""Multiples that are tried: all up to 128, and those of networks that combine windows with strides."""

# Side in pixels of the smallest images that other stages pass to a network.
_LEAST_ELSEWHERE = 64
_MOST_DECLARED = 1024  # the largest multiple that a worker may report


def rounded_up(length: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `length`."""
    return math.ceil(length / multiple) * multiple


def odd_multiple(length: int, multiple: int) -> int:
    """Return the smallest odd multiple of `multiple` that is at least `length`.

    A network that needs sides of a larger even multiple rejects it.
    """
    quotient = math.ceil(length / multiple)
    return multiple * (quotient + 1 - quotient % 2)


def smallest_multiple(accepts: Callable[[int, int], bool], declared: int = 1, *, side: int = 41) -> int | None:
    """Return the smallest multiple of the sides that a network accepts; None if it accepts none that is tried.

    The declared multiple is tried first, then multiples of it. A multiple is accepted only if the network takes sizes
    that have no larger multiple in common.

    Parameters
    ----------
    accepts
        Returns whether the network takes an input of a height and a width.
    declared
        Multiple that the submission declares; only multiples of it are tried.
    side
        Smallest side of an input, in pixels.
    """
    found = multiple_at(accepts, declared, side=side)
    if found is None or found == declared:
        return found
    # Smaller inputs may have been refused for being small: a network that needs 64 pixels takes 65 = 5 * 13. Networks
    # that need more than 64 keep the larger multiple, since other stages give them images of 64 pixels.
    return multiple_at(accepts, declared, side=max(side, _LEAST_ELSEWHERE)) or found


def multiple_at(accepts: Callable[[int, int], bool], declared: int = 1, *, side: int = 41) -> int | None:
    """Return the first multiple of `declared` that the network accepts in sides of about `side` pixels.

    It is larger than what the network needs if it refuses small inputs.
    """
    candidates = (declared * factor for factor in MULTIPLES)
    # The declared multiple is tried even if it is larger than a worker may report.
    for multiple in (m for m in candidates if m <= _MOST_DECLARED or m == declared):
        if all(accepts(*size) for size in _sizes(side, multiple)):
            return multiple
    return None


def _sizes(side: int, multiple: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return sizes whose sides have no common divisor but `multiple`, in each direction."""
    short = odd_multiple(side, multiple)
    # Two consecutive odd multiples m * q and m * (q + 2) have the greatest common divisor m. So have m and 2 m.
    long = 2 * multiple if short == multiple else short + 2 * multiple
    # A network may restrict one of the two sides only.
    return (short, long), (long, short)
