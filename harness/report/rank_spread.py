"""How far a rank depends on the images that happened to be chosen and on the noise of the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

import numpy as np
from numpy.typing import NDArray

from harness.report.images import bicubic_slug
from harness.report.rows import Row
from harness.report.rules import expression_of, metric_of
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry

ROUNDS = 400
MOST_ROWS = 40
# Half the width of a 95 % interval in standard deviations.
REACH = 1.959964
# An interval of fewer calls tells little of their scatter.
FEWEST_CALLS = 5


@dataclass(frozen=True, slots=True)
class RankSpread:
    """A row's rank among the rows compared: 5th, 50th and 95th percentile over the rounds."""

    row: Row
    low: float
    middle: float
    high: float
    borrowed: bool = False


def rank_spread(folder: RunFolder, rows: Sequence[Row]) -> list[RankSpread]:
    """Return how ranks spread over bootstrap rounds, best row first; empty where the run has too little data.

    Each round draws as many images as there are, with replacement and the same for every model and for bicubic, and a
    runtime from the normal distribution of which the row's interval is the middle 95 %. A row of fewer than five calls
    has no such interval: it takes the scatter of a single call that the other rows have (``borrowed``), over the root
    of its own number of calls. Without any other row to borrow from there is no figure. The seed is fixed.
    """
    score, reference = expression_of(folder.run), folder.per_image.get(bicubic_slug(folder) or "", {})
    chosen = [row for row in rows if not row.baseline and row.runtime and row.entry.slug in folder.per_image][
        :MOST_ROWS
    ]
    noise = relative_noise([row.entry for row in rows])
    if score is None or len(chosen) < 2 or len(reference) < 2 or noise is None:
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
    times = np.array([_times(row.entry, row.runtime or 1.0, noise, random) for row in chosen])
    scores = np.asarray(score(psnr, times, base))
    ranks = _ranks(scores if folder.run.track.higher_is_better else -scores)
    low, middle, high = np.percentile(ranks, (5, 50, 95), axis=1, method="nearest")
    return [
        RankSpread(row, float(least), float(usual), float(most), borrowed=_is_short(row.entry))
        for row, least, usual, most in zip(chosen, low, middle, high, strict=True)
    ]


def relative_noise(entries: Sequence[Entry]) -> float | None:
    """Return the standard deviation of one call over the runtime: the median of the rows with five calls or more."""
    long = [entry for entry in entries if not _is_short(entry)]
    known = [_own_noise(entry) * sqrt(entry.runtime_ms.samples) for entry in long if entry.runtime_ms]
    return median(known) if known else None


def _is_short(entry: Entry) -> bool:
    return entry.runtime_ms is None or entry.runtime_ms.samples < FEWEST_CALLS


def _own_noise(entry: Entry) -> float:
    """Return the standard deviation of a row's runtime over the runtime, by its interval."""
    if entry.runtime_ms is None or not entry.runtime_ms.median:
        return 0.0
    low, high = entry.runtime_ms.ci
    return (high - low) / (2 * REACH) / entry.runtime_ms.median


def _times(entry: Entry, runtime: float, noise: float, random: np.random.Generator) -> NDArray[np.float64]:
    share = _own_noise(entry)
    if _is_short(entry):
        share = max(share, noise / sqrt(entry.runtime_ms.samples if entry.runtime_ms else 1))
    return np.maximum(random.normal(runtime, share * runtime, ROUNDS), runtime / 10)


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each row (first axis) in each round, 1 for the highest score, ties at their best place."""
    higher = scores[None, :, :] > scores[:, None, :]
    ranks: NDArray[np.float64] = 1.0 + higher.sum(axis=1, dtype=np.float64)
    return ranks
