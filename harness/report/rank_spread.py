"""How far a rank depends on the images that happened to be chosen and on the noise of the clock."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.report.folder import RunFolder
from harness.report.images import bicubic_slug
from harness.report.rows import Row, higher_is_better
from harness.report.rules import metric_of, track_of
from harness.results.schema import Entry

ROUNDS = 400
MOST_ROWS = 40
# Half the width of a 95 % interval in standard deviations.
REACH = 1.959964


@dataclass(frozen=True, slots=True)
class RankSpread:
    """A row's rank among the rows compared: 5th, 50th and 95th percentile over the rounds."""

    row: Row
    low: float
    middle: float
    high: float


def rank_spread(folder: RunFolder, rows: Sequence[Row]) -> list[RankSpread]:
    """Return how ranks spread over bootstrap rounds, best row first; empty where the run has too little data.

    Each round draws as many images as there are, with replacement and the same for every model and for bicubic, and a
    runtime from the normal distribution of which the row's interval is the middle 95 %. The seed is fixed.
    """
    track, reference = track_of(folder.run), folder.per_image.get(bicubic_slug(folder) or "", {})
    chosen = [row for row in rows if not row.baseline and row.runtime and row.entry.slug in folder.per_image][
        :MOST_ROWS
    ]
    if track is None or len(chosen) < 2 or len(reference) < 2:
        return []
    metric, names = metric_of(folder.run), sorted(reference)
    try:
        table = np.array([[folder.per_image[row.entry.slug][name][metric] for name in names] for row in chosen])
        bicubic = np.array([reference[name][metric] for name in names])
    except KeyError:
        return []
    random = np.random.default_rng(0)
    picks = random.integers(0, len(names), (ROUNDS, len(names)))
    psnr, base = table[:, picks].mean(axis=2), bicubic[picks].mean(axis=1)
    times = np.array([_times(row.entry, row.runtime or 1.0, random) for row in chosen])
    scores = np.array(
        [
            [track.score(psnr[at, turn], times[at, turn], base[turn]) for turn in range(ROUNDS)]
            for at in range(len(chosen))
        ]
    )
    ranks = _ranks(scores if higher_is_better(folder.run) else -scores)
    low, middle, high = np.percentile(ranks, (5, 50, 95), axis=1, method="nearest")
    return [RankSpread(row, *map(float, place)) for row, *place in zip(chosen, low, middle, high, strict=True)]


def _times(entry: Entry, runtime: float, random: np.random.Generator) -> NDArray[np.float64]:
    low, high = entry.runtime_ms.ci if entry.runtime_ms else (runtime, runtime)
    drawn = random.normal(runtime, (high - low) / (2 * REACH), ROUNDS)
    return np.maximum(drawn, runtime / 10)


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each row (first axis) in each round, 1 for the highest score, ties at their best place."""
    higher = scores[None, :, :] > scores[:, None, :]
    ranks: NDArray[np.float64] = 1.0 + higher.sum(axis=1, dtype=np.float64)
    return ranks
