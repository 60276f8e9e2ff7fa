"""Summarise raw samples as a runtime with its uncertainty, and adapt timing records to the statistics of times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.results.measurement import TimingRecord
from harness.results.record import Statistic
from harness.results.rounds import is_throttled, kept_rounds
from harness.results.schema import Runtime
from harness.statistics.inference import for_few_values, log_interval, student_reach
from harness.statistics.process_spread import (
    ASSUMED_SPREAD,
    ProcessSpread,
    RelativeTimes,
    block_resamples,
    estimate_spread,
    log_times,
    midmean_of_medians,
)

_RESAMPLES = 2000
_STABLE_HALF_WIDTH = 0.02
STABLE_SAMPLES = 10
"""Fewest calls of a stable runtime."""
_NOTED_DRIFT = 0.05  # of the machine's speed
LOAD_LIMIT = 0.15
"""Share of all cores above which the load of other programs is noted."""
_NO_TIME = 1e-9  # replaces an interval that ends at 0


def summarise(
    samples_ms: Sequence[float],
    statistic: Statistic,
    *,
    note: str | None = None,
    half_width: float = _STABLE_HALF_WIDTH,
) -> Runtime:
    """Summarise the samples of one network.

    The interval is a percentile bootstrap over blocks of neighbouring samples, because the times of back-to-back
    calls are correlated (Künsch, Annals of Statistics 17, 1989). It is widened to Student's t. Its seed is fixed: same
    samples, same interval.

    Parameters
    ----------
    samples_ms
        Milliseconds, in the order in which they were taken.
    statistic
        The statistic that the interval is for.
    note
        Remark about the samples.
    half_width
        Largest relative half-width of the interval of a stable runtime.

    Returns
    -------
    Runtime
        ``stable`` is False below ten samples or if half of the interval is wider than `half_width`.

    Raises
    ------
    ValueError
        There is no sample.
    """
    values = np.asarray(samples_ms, dtype=np.float64)
    if values.size == 0:
        raise ValueError("there is no sample to summarise")
    low, high = bootstrap_interval(values, statistic)
    value = _statistic(values, statistic)
    stable = values.size >= STABLE_SAMPLES and (high - low) / 2 <= half_width * value
    return Runtime(
        median=float(np.median(values)),
        mean=float(values.mean()),
        ci=(low, high),
        p95=float(np.percentile(values, 95)),
        samples=int(values.size),
        stable=stable,
        note=note,
    )


def bootstrap_interval(values: NDArray[np.float64], statistic: Statistic) -> tuple[float, float]:
    """Return the 95 % interval of the mean or the median of positive `values`: a moving-block bootstrap.

    It is widened to Student's t, without which ten values gave an interval that held the truth in 86 % of cases.
    """
    # Blocks, because successive calls resemble each other: single draws would give too narrow an interval. The fixed
    # seed makes the summary of stored samples reproducible.
    resamples = block_resamples(values, values.size, np.random.default_rng(0), _RESAMPLES)
    estimates = np.median(resamples, axis=1) if statistic == "median" else resamples.mean(axis=1)
    low, high = np.percentile(estimates, [2.5, 97.5])
    return for_few_values(_statistic(values, statistic), (float(low), float(high)), values.size)


def _statistic(values: NDArray[np.float64], statistic: Statistic) -> float:
    return float(np.median(values) if statistic == "median" else values.mean())


@dataclass(frozen=True, slots=True)
class RoundRatios:
    """A network's time in each round, relative to the anchor.

    Attributes
    ----------
    numbers
        Numbers of the rounds.
    values
        The turn's mean or median divided by the mean of the anchor's turns before and after it.
    dropped
        Number of rounds excluded because the anchor's two turns differ by more than 30 %, or the card was throttled.
    drift
        The anchor's time in the last third of the rounds divided by that in the first third, minus 1.
    processes
        Index of the network's process in each of these rounds.
    throttled
        Number of excluded rounds in which the card was throttled.
    """

    numbers: tuple[int, ...]
    values: NDArray[np.float64]
    dropped: int
    drift: float
    processes: tuple[int, ...] = ()
    throttled: int = 0


def turn_ms(times: Sequence[float] | NDArray[np.float64], statistic: Statistic) -> float:
    """Return the time of a call in one turn, milliseconds.

    The statistic is the mean for the host's clock, because an interruption falls into a single call while the anchor's
    turns are interrupted as often. It is the median for the events of an accelerator.
    """
    return float(np.median(times) if statistic == "median" else np.mean(times))


def round_ratios(record: TimingRecord) -> RoundRatios:
    """Return the ratios to the anchor of a network that was timed in rounds.

    Rounds are excluded by :func:`harness.results.rounds.kept_rounds`.

    Parameters
    ----------
    record
        With ``rounds``.
    """
    # Samples of all turns are stored one after another; the last end is no cut.
    calls = np.cumsum([turn.calls for turn in record.rounds])[:-1]
    turns = np.split(np.array([ms for _, ms in record.samples]), calls)
    anchors = np.array([turn.anchor_ms for turn in record.rounds], dtype=np.float64).reshape(-1, 2)
    values = np.array([turn_ms(turn, record.turn_statistic) for turn in turns]) / anchors.mean(axis=1)
    throttled = [turn.card is not None and is_throttled(turn.card.slowed_by) for turn in record.rounds]
    calm = np.array(kept_rounds([turn.anchor_ms for turn in record.rounds], throttled), dtype=np.bool_)
    # Medians of thirds, because single turns jump.
    third = max(1, len(anchors) // 3)
    drift = float(np.median(anchors[-third:]) / np.median(anchors[:third])) - 1
    counted = [turn for turn, kept in zip(record.rounds, calm, strict=True) if kept]
    numbers, processes = tuple(turn.number for turn in counted), tuple(turn.process for turn in counted)
    hot = sum(one and not kept for one, kept in zip(throttled, calm, strict=True))
    return RoundRatios(numbers, values[calm], int((~calm).sum()), drift, processes, hot)


def _note_on_dropped(ratios: RoundRatios, record: TimingRecord) -> str:
    jumps, rounds = ratios.dropped - ratios.throttled, len(record.rounds)
    reasons = [f"{jumps}: the machine's speed jumped in their middle"] if jumps else []
    if ratios.throttled:
        found = {why for turn in record.rounds if turn.card is not None for why in turn.card.slowed_by}
        reasons.append(f"{ratios.throttled}: the card was throttled ({', '.join(sorted(found))})")
    if len(reasons) == 1:
        return f"{ratios.dropped} of {rounds} rounds dropped: {reasons[0].partition(': ')[2]}"
    return f"{ratios.dropped} of {rounds} rounds dropped; {'; '.join(reasons)}"


def interval_is_narrow(values: NDArray[np.float64], half_width: float) -> bool:
    """Return whether half of the 95 % interval of the median is at most the share `half_width` of the median."""
    if values.size < STABLE_SAMPLES:
        return False
    low, high = bootstrap_interval(values, "median")
    return (high - low) / 2 <= half_width * float(np.median(values))


def anchor_level(records: Iterable[TimingRecord]) -> float | None:
    """Return the anchor's median over all rounds of a run, milliseconds; None if nothing was timed in rounds."""
    times = [ms for record in records for turn in record.rounds for ms in turn.anchor_ms]
    return float(np.median(times)) if times else None


@dataclass(frozen=True, slots=True)
class SummaryRule:
    """How the samples of a stored timing are summarised.

    Attributes
    ----------
    statistic
        The statistic that the interval is for.
    half_width
        Largest relative half-width of the interval of a stable runtime.
    in_rounds
        Whether the times of records with rounds are taken relative to the anchor. All other samples are summarised as
        they are.
    """

    statistic: Statistic
    half_width: float
    in_rounds: bool


def summarise_record(
    record: TimingRecord,
    rule: SummaryRule,
    anchor_ms: float | None = None,
    spread: ProcessSpread = ASSUMED_SPREAD,
) -> Runtime:
    """Summarise a stored timing. Nothing is measured.

    Parameters
    ----------
    record
        A timing by any protocol.
    rule
        How the samples are summarised.
    anchor_ms
        Milliseconds that the ratios to the anchor are multiplied by: :func:`anchor_level` of the run, so that all its
        rows have one scale. That of this record by default.
    spread
        Standard deviation between processes: :func:`process_spread` of the run.

    Returns
    -------
    Runtime
        With rounds, ``median`` is the midmean of the processes' median ratios, and ``mean`` and ``p95`` are those of
        all ratios, each multiplied by `anchor_ms`. The interval includes `spread` unless that is assumed.
    """
    if not rule.in_rounds or not record.rounds:
        samples = [ms for _, ms in record.samples]
        note = "; ".join([*([record.note] if record.note else []), *_load_notes(record)]) or None
        return summarise(samples, rule.statistic, note=note, half_width=rule.half_width)
    ratios = round_ratios(record)
    # Ratios have no unit: the anchor's usual time turns them into milliseconds.
    level = anchor_ms or anchor_level([record])
    assert level is not None
    runtime = summarise(
        list(ratios.values * level),
        rule.statistic,
        note="; ".join(_notes_on_rounds(record, ratios)) or None,
        half_width=rule.half_width,
    )
    runtime = runtime.model_copy(update={"samples": len(record.samples)})
    return _with_processes(runtime, relative_times(record, spread), level, rule.half_width)


def _with_processes(runtime: Runtime, times: RelativeTimes, level: float, half_width: float) -> Runtime:
    """Add the spread between processes to the interval of a runtime, unless it is unknown."""
    groups = log_times(times)
    # Nothing is known of what processes differ by in this run, so the interval is that of this process alone.
    if times.spread == ASSUMED_SPREAD and len(groups) == 1:
        return runtime
    median = level * math.exp(midmean_of_medians(groups))
    if len(groups) > 1:
        low, high = (level * math.exp(end) for end in log_interval(times))
    else:
        low, high = _widened(median, runtime.ci, student_reach(times.own.degrees) * times.own.relative)
    return runtime.model_copy(
        update={
            "median": median,
            "ci": (low, high),
            "stable": runtime.stable and (high - low) / 2 <= half_width * median,
        }
    )


def _widened(value: float, ci: tuple[float, float], reach: float) -> tuple[float, float]:
    # Independent errors of the logarithm add in squares.
    below, above = (math.hypot(math.log(max(end, _NO_TIME) / value), reach) for end in ci)
    return value * math.exp(-below), value * math.exp(above)


def _notes_on_rounds(record: TimingRecord, ratios: RoundRatios) -> list[str]:
    notes = [record.note] if record.note else []
    if ratios.dropped:
        notes.append(_note_on_dropped(ratios, record))
    if abs(ratios.drift) > _NOTED_DRIFT:
        notes.append(f"the machine's own speed drifted by {ratios.drift:+.0%}, which the anchor takes out")
    return notes + _load_notes(record)


def _load_notes(record: TimingRecord) -> list[str]:
    if record.busy is None or record.busy <= LOAD_LIMIT:
        return []
    return [f"others used {record.busy:.0%} of the processor when the timing began"]


def relative_times(record: TimingRecord, spread: ProcessSpread = ASSUMED_SPREAD) -> RelativeTimes:
    """Return a network's times for comparisons: ratios to the anchor by round, or samples without rounds."""
    if not record.rounds:
        return RelativeTimes(dict(enumerate(ms for _, ms in record.samples)), spread=spread)
    ratios = round_ratios(record)
    times = {number: float(value) for number, value in zip(ratios.numbers, ratios.values, strict=True)}
    processes = dict(zip(ratios.numbers, ratios.processes, strict=True))
    return RelativeTimes(times, record.session, processes, spread, record.anchor)


def process_spread(records: Iterable[TimingRecord]) -> ProcessSpread:
    """Return the standard deviation between processes in a run; the assumed one if it was not measured."""
    return estimate_spread(
        relative_times(record) for record in records if len({turn.process for turn in record.rounds}) > 1
    )


def joined(records: Sequence[TimingRecord]) -> TimingRecord:
    """Concatenate the records of one network's processes."""
    notes = dict.fromkeys(record.note for record in records if record.note)
    anchors = dict.fromkeys(name for record in records for name in record.anchor.split("+") if name)
    return records[0].model_copy(
        update={
            "warmup": [call for record in records for call in record.warmup],
            "samples": [call for record in records for call in record.samples],
            "rounds": [turn for record in records for turn in record.rounds],
            "note": "; ".join(notes) or None,
            "anchor": "+".join(anchors),
            "busy": max((record.busy for record in records if record.busy is not None), default=None),
        }
    )
