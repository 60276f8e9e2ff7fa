"""Which rounds of an interleaved timing count: for the statistics, and for whoever draws the calls."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from harness.results.measurement import TimingRecord

ANCHOR_JUMP = 0.3
"""Between the anchor's times on either side of a turn: the machine changed in its middle."""
FEWEST_ROUNDS = 10
"""Of fewer rounds none is dropped."""


POWER_CAP = "power cap"
"""Of what holds a card's clock down, the one that is no fault: a card at its limit of power is at work."""


def is_throttled(slowed_by: Sequence[str]) -> bool:
    """Tell whether a card was held down by heat or a fault; the limit of power belongs to how fast a network is."""
    return any(reason != POWER_CAP for reason in slowed_by)


def kept_rounds(anchors_ms: Sequence[tuple[float, float]], throttled: Sequence[bool] = ()) -> list[bool]:
    """Return for each round whether it counts.

    Rounds are dropped by the anchor's times and by what the card says of itself, so that a network's own scatter is
    never hidden. None is dropped of fewer than ten, or where half of them would be.

    Parameters
    ----------
    anchors_ms
        The anchor's milliseconds just before and just after each turn.
    throttled
        Whether the card was throttled just after each turn; empty where it does not tell.
    """
    calm = [abs(log(after / before)) < log(1 + ANCHOR_JUMP) for before, after in anchors_ms]
    calm = [one and not hot for one, hot in zip(calm, throttled or [False] * len(calm), strict=True)]
    if len(calm) < FEWEST_ROUNDS or sum(calm) <= len(calm) / 2:
        return [True] * len(calm)
    return calm


def kept_turns(timing: TimingRecord) -> list[bool]:
    """Return for each of a network's turns whether its calls count; empty where it was timed alone.

    See :func:`kept_rounds` for the rule.
    """
    throttled = [turn.card is not None and is_throttled(turn.card.slowed_by) for turn in timing.rounds]
    return kept_rounds([turn.anchor_ms for turn in timing.rounds], throttled)
