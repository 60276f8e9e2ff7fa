"""Plot of every timed call of one model in order, with a histogram on the same axis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harness.report.numbers import digits_for, fixed
from harness.results.measurement import TimingRecord
from harness.results.rounds import kept_turns

Numbers = NDArray[np.float64]

# Edges of the plot and of the histogram, in units of the template's view box.
LEFT, RIGHT, TOP, BOTTOM = 54.0, 560.0, 12.0, 214.0
BARS_LEFT, BARS_RIGHT = 580.0, 752.0
BINS = 36
# A call longer than this many medians is drawn at the upper edge, so that the axis still resolves the others.
LONGEST_MEDIANS = 1.6
# Fewer calls are listed as text.
FEWEST = 3


@dataclass(frozen=True, slots=True)
class TimingPlot:
    """Geometry for the template: paths, and ticks as (position, text).

    ``odd`` holds every other round's calls, ``dropped`` those of rounds that do not count, ``starts`` a line wherever
    the calls of another process begin. ``raw`` is the place of the statistic before the anchor's correction.
    """

    samples: str
    odd: str
    dropped: str
    warmup: str
    beyond: str
    starts: str
    bars: str
    level: float
    raw: float | None
    interval: tuple[float, float]
    times: list[tuple[float, str]]
    calls: list[tuple[float, str]]
    clipped: int


def timing_plot(
    timing: TimingRecord, level: float, interval: tuple[float, float], raw: float | None = None
) -> TimingPlot | None:
    """Lay out every timed call of a network; None if there are fewer than three.

    Parameters
    ----------
    timing
        Its calls, with the turns that they belong to.
    level, interval
        The statistic that the row's score uses, and its 95 % interval, ms.
    raw
        The statistic of the calls before the anchor network corrected it, ms.
    """
    samples = np.array([ms for _, ms in timing.samples], dtype=np.float64)
    if samples.size < FEWEST:
        return None
    first_s = timing.samples[0][0]
    warmup = np.array([ms for at_s, ms in timing.warmup if at_s <= first_s], dtype=np.float64)  # of the first process
    low, high = _span(samples, level, interval)
    # Warm-up calls have negative numbers, so that the first timed call is call 0 (shown as 1).
    calls = np.arange(-warmup.size, samples.size, dtype=np.float64)

    def place_x(call: Numbers) -> Numbers:
        share: Numbers = (call - calls[0] + 0.5) / calls.size
        return LEFT + share * (RIGHT - LEFT)

    def place_y(ms: Numbers) -> Numbers:
        share: Numbers = (np.clip(ms, low, high) - low) / (high - low)
        return BOTTOM - share * (BOTTOM - TOP)

    # `over`: calls beyond the upper edge, drawn as arrows there.
    over, timed = samples > high, np.arange(samples.size, dtype=np.float64)
    odd, dropped = _odd_rounds(samples.size, timing), _dropped(samples.size, timing)
    shown = ~over & ~dropped
    ticks = [float(tick) for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    digits = max(digits_for([level], 4), digits_for([high - low], 2))
    marks = [
        float(tick) for tick in MaxNLocator(6, integer=True).tick_values(0, samples.size) if 0 <= tick < samples.size
    ]
    return TimingPlot(
        samples=_dots(place_x(timed[shown & ~odd]), place_y(samples[shown & ~odd])),
        odd=_dots(place_x(timed[shown & odd]), place_y(samples[shown & odd])),
        dropped=_crosses(place_x(timed[~over & dropped]), place_y(samples[~over & dropped])),
        warmup=_dots(place_x(np.arange(-warmup.size, 0, dtype=np.float64)), place_y(warmup)),
        beyond=_arrows(place_x(timed[over])),
        starts=_lines(place_x(_starts(samples.size, timing) - 0.5)),
        bars=_bars(samples[shown], low, high),
        level=_round(place_y(np.array(level))),
        raw=None if raw is None else _round(place_y(np.array(raw))),
        interval=(_round(place_y(np.array(interval[1]))), _round(place_y(np.array(interval[0])))),
        times=[(_round(place_y(np.array(tick))), fixed(tick, digits)) for tick in ticks],
        calls=[(_round(place_x(np.array(mark))), fixed(mark + 1, 0)) for mark in marks],
        clipped=int(over.sum()),
    )


def _of_calls(per_turn: Sequence[int | bool], timing: TimingRecord, count: int) -> NDArray[np.int64]:
    """Repeat a value of each turn for each of its calls; 0 for calls that belong to no turn."""
    # Without rounds, no call belongs to a turn.
    of_calls = np.zeros(count, dtype=np.int64)
    repeated = np.repeat(np.array(per_turn, dtype=np.int64), [turn.calls for turn in timing.rounds])[:count]
    of_calls[: repeated.size] = repeated
    return of_calls


def _odd_rounds(count: int, timing: TimingRecord) -> NDArray[np.bool_]:
    """Return which calls belong to every other round, to be drawn in another colour."""
    odd: NDArray[np.bool_] = _of_calls(range(len(timing.rounds)), timing, count) % 2 == 1
    return odd


def _dropped(count: int, timing: TimingRecord) -> NDArray[np.bool_]:
    """Return which calls belong to rounds that do not count."""
    dropped: NDArray[np.bool_] = _of_calls([not kept for kept in kept_turns(timing)], timing, count) == 1
    return dropped


def _starts(count: int, timing: TimingRecord) -> Numbers:
    """Return the calls with which processes after the first begin."""
    process = _of_calls([turn.process for turn in timing.rounds], timing, count)
    # Zeros behind the last turn would look like a return to process 0.
    within = sum(turn.calls for turn in timing.rounds)
    return np.flatnonzero(np.diff(process[:within])).astype(np.float64) + 1.0


def _span(samples: Numbers, level: float, interval: tuple[float, float]) -> tuple[float, float]:
    """Return the axis: all samples, the statistic and its interval, but no sample beyond the longest shown."""
    high = min(float(samples.max()), LONGEST_MEDIANS * float(np.median(samples)))
    low, high = min(float(samples.min()), level, interval[0]), max(high, level, interval[1])
    # Equal times would give an axis without length.
    room = 0.06 * (high - low) or 0.05 * high
    return max(0.0, low - room), high + room


def _round(value: Numbers | float) -> float:
    return round(float(value), 1)


def _dots(xs: Numbers, ys: Numbers) -> str:
    # A line without length is drawn as a dot, by the round ends of lines in the style sheet.
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(xs, ys, strict=True))


def _crosses(xs: Numbers, ys: Numbers) -> str:
    return "".join(f"M{x - 2.4:.1f} {y - 2.4:.1f}l4.8 4.8m0 -4.8l-4.8 4.8" for x, y in zip(xs, ys, strict=True))


def _arrows(xs: Numbers) -> str:
    return "".join(f"M{x - 3:.1f} {TOP + 6:.1f}l3 -6l3 6z" for x in xs)


def _lines(xs: Numbers) -> str:
    return "".join(f"M{x:.1f} {TOP:.1f}V{BOTTOM:.1f}" for x in xs)


def _bars(samples: Numbers, low: float, high: float) -> str:
    counts, edges = np.histogram(samples, bins=BINS, range=(low, high))
    # Width of one call: the fullest bin has the whole width.
    unit = (BARS_RIGHT - BARS_LEFT) / max(1, int(counts.max()))
    height = (BOTTOM - TOP) / BINS
    tops = BOTTOM - (edges[1:] - low) / (high - low) * (BOTTOM - TOP)
    return "".join(
        f"M{BARS_LEFT:.1f} {top + 0.5:.1f}h{count * unit:.1f}v{height - 1:.1f}H{BARS_LEFT:.1f}z"
        for count, top in zip(counts, tops, strict=True)
        if count
    )
