"""Decide which rounds of an interleaved timing count, for the statistics and for the plot of calls."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from harness.results.measurement import TimingRecord

ANCHOR_JUMP = 0.3
"""Relative difference between the anchor's times before and after a turn above which the round is dropped."""
FEWEST_ROUNDS = 10
"""With fewer rounds than this, none is dropped."""


POWER_CAP = "power cap"
"""The one reason for a reduced clock that is no fault: the power limit applies to every demanding network."""


def is_throttled(slowed_by: Sequence[str]) -> bool:
    """Return whether heat or a fault reduced a card's clock. The power limit is part of a network's speed."""
    return any(reason != POWER_CAP for reason in slowed_by)


def kept_rounds(anchors_ms: Sequence[tuple[float, float]], throttled: Sequence[bool] = ()) -> list[bool]:
    """Return for each round whether it counts.

    Rounds are dropped by the anchor's times and the card's state alone, never by the network's own times, so that its
    scatter stays visible. None is dropped if there are fewer than ten, or if half of them or more would be.

    Parameters
    ----------
    anchors_ms
        The anchor's milliseconds just before and just after each turn.
    throttled
        Whether the card was throttled just after each turn; empty if unknown.
    """
    # The logarithm makes the criterion symmetric: an anchor that became slower or faster by a factor counts alike.
    calm = [abs(log(after / before)) < log(1 + ANCHOR_JUMP) for before, after in anchors_ms]
    calm = [one and not hot for one, hot in zip(calm, throttled or [False] * len(calm), strict=True)]
    # Then the machine was never quiet, and the rounds that seem calm are no better than the others.
    if len(calm) < FEWEST_ROUNDS or sum(calm) <= len(calm) / 2:
        return [True] * len(calm)
    return calm


def kept_turns(timing: TimingRecord) -> list[bool]:
    """Return for each of a network's turns whether its calls count; empty where it was timed alone.

    See :func:`kept_rounds` for the rule.
    """
    throttled = [turn.card is not None and is_throttled(turn.card.slowed_by) for turn in timing.rounds]
    return kept_rounds([turn.anchor_ms for turn in timing.rounds], throttled)
