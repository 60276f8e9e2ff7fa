"""Places in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def rank(scores: Mapping[str, float], *, higher_is_better: bool = True) -> dict[str, int]:
    """Return each key's place, 1 for the best; equal scores share a place and the next places stay empty (1, 2, 2, 4).

    Parameters
    ----------
    scores
        One figure per key; NaN is refused.

    Raises
    ------
    ValueError
        A score is NaN, which has no place.
    """
    # NaN is the only value that differs from itself.
    if any(score != score for score in scores.values()):
        raise ValueError("a score that is not a number has no rank")
    ordered = sorted(scores.values(), reverse=higher_is_better)
    place: dict[float, int] = {}
    for position, score in enumerate(ordered, start=1):
        # The first position of a score counts for all that are equal.
        place.setdefault(score, position)
    return {key: place[score] for key, score in scores.items()}


def rank_sum(figures: Sequence[Mapping[str, float]]) -> dict[str, int]:
    """Return the sum of each key's ranks over several figures, all lower-is-better.

    The NTIRE 2022 efficient super-resolution challenge ranked its sub-tracks so: (parameters, FLOPs) in the first;
    runtime, parameters, FLOPs, activations and memory in the second.
    """
    ranks = [rank(figure, higher_is_better=False) for figure in figures]
    return {key: sum(places[key] for places in ranks) for key in figures[0]}
