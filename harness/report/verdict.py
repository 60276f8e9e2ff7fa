"""The result of a run in a few sentences, from the statistics that the run stores."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.caveats import interval
from harness.report.columns import score_column
from harness.report.numbers import TIMES, fixed
from harness.results.ranks import beaten_by_bicubic, why_no_rank
from harness.results.schema import Entry, Run
from harness.text import beside, without_middle

_MOST_NAMES = 3
_LONGEST_NAME = 40
# Keep a name in a right-to-left script from reordering the sentence around it.
_ISOLATE, _POP = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"


def verdict(run: Run) -> str:
    """Return who leads, from whom it cannot be told apart, and how far the best real-time network is.

    Names are enclosed in characters that isolate their direction, so that no name reorders the sentence.
    """
    ranked = sorted((entry for entry in run.entries if entry.rank is not None), key=lambda entry: entry.rank or 0)
    if not ranked:
        return _without_ranks(run)
    sentences = [_lead(run, ranked), _speed(run, ranked)]
    return " ".join(sentence for sentence in sentences if sentence)


def _without_ranks(run: Run) -> str:
    reason = why_no_rank(run)
    if reason is None:
        return "The run has no submissions: it measures baselines only."
    if beaten_by_bicubic(run):
        # `bicubic_psnr` is 0 if it is unknown.
        known = run.track.bicubic_source != "unknown"
        return f"Nothing beats bicubic interpolation{f': no submission exceeds its {_bicubic(run)}' if known else ''}."
    return f"There is no ranking: {reason.removeprefix('no rank: ')}."


def _bicubic(run: Run) -> str:
    return f"{fixed(run.track.bicubic_psnr, 2)} dB PSNR {'Y' if run.track.metric == 'psnr_y' else 'RGB'}"


def _lead(run: Run, ranked: Sequence[Entry]) -> str:
    leader = ranked[0]
    column = score_column(run)
    what = "a decimal logarithm of the score" if column.key == "score_log10" else "a score"
    begin = f"{_name(leader)} leads with {what} of {column.text(leader)}"
    ends = interval(column, leader)
    # An interval without length says nothing.
    if ends is not None and ends[0] < ends[1]:
        low, high = (fixed(end, column.digits) for end in ends)
        begin += f" (95 % interval {low} to {high})"
    if leader.partly_counted:
        begin += f" that rests on a lower bound of {' and '.join(leader.partly_counted)}"
    if len(ranked) == 1:
        return f"{begin}; it is the only ranked submission."
    tied = [entry for entry in ranked[1:] if entry.slug and entry.slug in leader.tied_with]
    if tied:
        return f"{begin}, but cannot be told apart from {_names(tied)}."
    level = [entry for entry in ranked[1:] if entry.rank == leader.rank]
    if level:
        return f"{begin}, level with {_names(level)}."
    p_value = _p_value(run, leader, ranked[1])
    p_text = (
        "; the difference was not tested"
        if p_value is None
        else f", p {'< 0.001' if p_value < 0.001 else f'= {fixed(p_value, 3)}'}"
    )
    return f"{begin}, ahead of {_name(ranked[1])} ({column.text(ranked[1])}{p_text})."


def _speed(run: Run, ranked: Sequence[Entry]) -> str:
    """Return which ranked network is the best in real time: at the lowest limit of the track's classes of speed."""
    timed = [entry for entry in ranked if entry.fps is not None]
    if not run.track.fps_bands or not timed:
        return ""
    # The lowest limit of the classes counts as real time.
    limit = run.track.fps_bands[0]
    size = f"{run.protocol.output_shape[3]}{TIMES}{run.protocol.output_shape[2]}"
    fast = [entry for entry in timed if (entry.fps or 0.0) >= limit]
    if not fast:
        fastest = max(timed, key=lambda entry: entry.fps or 0.0)
        return (
            f"No ranked submission reaches {limit:g} frames per second at {size}; "
            f"the fastest, {_name(fastest)}, runs at {_rate(fastest, limit)}."
        )
    # The entries are in the order of their ranks.
    best = fast[0]
    if best is ranked[0]:
        return f"It runs in real time: {_rate(best, limit)} frames per second at {size}."
    return (
        f"The best in real time ({limit:g} frames per second at {size}) is {_name(best)}: rank {best.rank}, "
        f"{_rate(best, limit)} frames per second{_behind(run, ranked[0], best)}."
    )


def _behind(run: Run, leader: Entry, best: Entry) -> str:
    metric = run.track.metric
    ours, theirs = getattr(best, metric), getattr(leader, metric)
    return "" if ours is None or theirs is None else f", {fixed(ours - theirs, 2, signed=True)} dB from the leader"


def _rate(entry: Entry, limit: float) -> str:
    """Return the frames per second of a row, with the decimals that tell them from a limit."""
    rate = entry.fps or 0.0
    decimals = beside(rate, limit, 0 if rate >= 10 else 1 if rate >= 1 else 3).partition(".")[2]
    return fixed(rate, len(decimals))


def _p_value(run: Run, one: Entry, other: Entry) -> float | None:
    pair = {one.slug, other.slug}
    return next((found.corrected_p_value for found in run.comparisons if set(found.slugs) == pair), None)


def _names(entries: Sequence[Entry]) -> str:
    shown = [_name(entry) for entry in entries[:_MOST_NAMES]]
    rest = len(entries) - len(shown)
    if rest:
        return f"{', '.join(shown)} and {rest} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _name(entry: Entry) -> str:
    return f"{_ISOLATE}{without_middle(entry.name, _LONGEST_NAME)}{_POP}"
