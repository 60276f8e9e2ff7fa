"""Decide which backend a network should use: the fastest one whose outputs hold, if the times differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.results.backend_rows import BackendCell, BackendRow
from harness.results.measurement import TimingRecord
from harness.results.record import Backend
from harness.statistics.compare_times import compare_times
from harness.statistics.inference import holm, is_significant, log_ratio
from harness.statistics.process_spread import ProcessSpread
from harness.statistics.runtime_summary import relative_times

HOLDS_DB = 0.01
"""Loss of PSNR up to which outputs hold: rounding in another order loses less, a coarser number format more."""


_FEWEST_CALLS = 2  # a single call that outlasts the budget is not warmed up, and backends differ in their first call


@dataclass(frozen=True, slots=True)
class OnBackend:
    """One network on one backend.

    Attributes
    ----------
    backend
        As the run asked for it.
    slug
        Of its row.
    psnr
        The PSNR that the track scores, dB; None if it was not measured to the end.
    runtime_ms
        Time of one forward pass; None if it was not timed.
    timing
        The times behind it.
    """

    backend: Backend
    slug: str
    psnr: float | None = None
    runtime_ms: float | None = None
    timing: TimingRecord | None = None


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Ratio of the first time to the second, with its interval and the p-value of equal times."""

    value: float
    ci: tuple[float, float]
    p_value: float

    def inverse(self) -> _Ratio:
        low, high = self.ci
        # The ends change places; an open end, 0 or infinity, becomes the other one.
        return _Ratio(1 / self.value, (1 / high if high else math.inf, 1 / low if low else math.inf), self.p_value)


def choose_backend(name: str, slug: str, tried: Sequence[OnBackend], spread: ProcessSpread) -> BackendRow:
    """Return which backend a network should use, with the ratio of each time to the fastest.

    Backends that were timed in the same rounds are compared round by round, others by their times relative to the
    anchor. A single call shows no difference. The p-values of a network's pairs are corrected for their number.

    Parameters
    ----------
    name, slug
        Of the network.
    tried
        The backends in the order in which they were named.
    spread
        Standard deviation between processes of one network in the run.
    """
    # A backend can lose quality and hardly gain any, so the best one is what the others are compared with.
    best = max((one.psnr for one in tried if one.psnr is not None), default=0.0)
    held = [
        one
        for one in tried
        if one.psnr is not None and one.psnr >= best - HOLDS_DB and one.timing is not None and one.runtime_ms
    ]
    if not held:
        return BackendRow(name=name, slug=slug, cells=[BackendCell(backend=o.backend, slug=o.slug) for o in tried])
    first = min(held, key=lambda one: one.runtime_ms or math.inf)
    ratios = {(a.slug, b.slug): _ratio(a, b, spread) for a, b in combinations(held, 2)}
    corrected = holm({pair: ratio.p_value for pair, ratio in ratios.items()})
    cells, fastest = [], []
    for one in tried:
        pair = (one.slug, first.slug) if (one.slug, first.slug) in ratios else (first.slug, one.slug)
        cell = BackendCell(backend=one.backend, slug=one.slug, holds=one in held)
        if one is first:
            cell = cell.model_copy(update={"ratio": 1.0})
        elif one in held:
            ratio = ratios[pair] if pair[0] == one.slug else ratios[pair].inverse()
            bounded = ratio.ci[0] > 0 and math.isfinite(ratio.ci[1])
            # JSON has no infinity, so an interval without an end is left out.
            update = {"ratio": ratio.value, "ci": ratio.ci if bounded else None, "p_value": corrected[pair]}
            cell = cell.model_copy(update=update)
        if one is first or (one in held and not is_significant(corrected[pair])):
            fastest.append(one.backend)
        cells.append(cell)
    # Among backends that are equally fast, the one that the user named first.
    return BackendRow(name=name, slug=slug, cells=cells, use=fastest[0], fastest=fastest)


def _ratio(one: OnBackend, other: OnBackend, spread: ProcessSpread) -> _Ratio:
    first, second = one.timing, other.timing
    assert first is not None
    assert second is not None
    if first.rounds and second.rounds and first.session and first.session == second.session:
        found = compare_times(first, second, spread)
        return _Ratio(found.ratio, found.ci, found.p_value)
    if min(len(first.samples), len(second.samples)) < _FEWEST_CALLS:
        return _Ratio((one.runtime_ms or 1.0) / (other.runtime_ms or 1.0), (0.0, math.inf), 1.0)
    if bool(first.rounds) != bool(second.rounds):  # only one is relative to the anchor: milliseconds are compared
        first, second = (record.model_copy(update={"rounds": []}) for record in (first, second))
    logs = log_ratio(relative_times(first, spread), relative_times(second, spread))
    low, high = logs.ci
    return _Ratio(math.exp(logs.value), (math.exp(low), math.exp(high) if high < math.inf else math.inf), logs.p_value)
