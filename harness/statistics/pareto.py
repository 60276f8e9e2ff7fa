"""The Pareto front of rows that have a cost and a quality."""

from __future__ import annotations

import math
from collections.abc import Sequence


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each point whether it is on the Pareto front.

    A point is on the front if no other costs at most as much, is at least as good, and is better in one of the two.
    Points that are equal in both do not exclude each other.

    Parameters
    ----------
    points
        Cost, of which less is better, and quality, of which more is better.
    """
    front = [False] * len(points)
    last = (math.inf, -math.inf)
    # By cost, then best quality first: a point is on the front if it is better than every cheaper one.
    for index in sorted(range(len(points)), key=lambda one: (points[one][0], -points[one][1])):
        if points[index][1] > last[1] or points[index] == last:
            last = points[index]
            front[index] = True
    return front
