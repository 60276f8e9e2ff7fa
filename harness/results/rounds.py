"""Which rounds of an interleaved timing count: for the statistics, and for whoever draws the calls."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

ANCHOR_JUMP = 0.3
"""Between the anchor's times on either side of a turn: the machine changed in its middle."""
FEWEST_ROUNDS = 10
"""Of fewer rounds none is dropped."""


def kept_rounds(anchors_ms: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each round whether it counts.

    Rounds are dropped by the anchor's times alone, so that a network's own scatter is never hidden. None is dropped of
    fewer than ten, or where half of them would be.

    Parameters
    ----------
    anchors_ms
        The anchor's milliseconds just before and just after each turn.
    """
    calm = [abs(log(after / before)) < log(1 + ANCHOR_JUMP) for before, after in anchors_ms]
    if len(calm) < FEWEST_ROUNDS or sum(calm) <= len(calm) / 2:
        return [True] * len(calm)
    return calm
