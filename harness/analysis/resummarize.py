"""Summarise the samples of a stored run by another statistic. Nothing is measured and the run is not changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from harness.analysis.derived_runs import write_derived
from harness.analysis.stored_rows import stored_figures, stored_rules
from harness.errors import UsageError
from harness.results import Run
from harness.results.measurement import TimingRecord
from harness.results.run_folder import RunFolder, load_run
from harness.results.samples import read_timing, timing_text
from harness.statistics.disturbances import find_disturbances
from harness.statistics.process_spread import spread_of
from harness.statistics.runtime_summary import anchor_level, summarise_record
from harness.timing import ROBUST, TimingProtocol
from harness.tracks import Track, track_of
from harness.tracks.scoring import RowFigures, rank_rows, score_row

Summary = Literal["mean", "median", "robust"]

_WORDS = {
    "mean": "the mean of all timed calls",
    "median": "the median of all timed calls",
    "robust": "the median of the rounds' ratios to the anchor, scaled back",
}


def resummarize(run_folder: Path, summary: Summary) -> Run:
    """Return the run with its times, scores, ranks and comparisons by another statistic.

    Parameters
    ----------
    run_folder
        Folder of a finished run, with its ``samples/``.
    summary
        ``mean`` or ``median`` of all timed calls, as the challenges' scripts take them, or ``robust``: the median of
        the rounds' ratios to the anchor, for networks that were timed in rounds.

    Raises
    ------
    UsageError
        The run's track is not known here.
    ResultsError
        The run or its samples cannot be read.
    """
    folder = load_run(run_folder)
    track = track_of(folder.run)
    if track is None:
        raise UsageError(f"the track {folder.run.track.name!r} is not known here", hint="install what defines it")
    protocol = _protocol(summary)
    figures = _summarised(folder, track, protocol)
    rules = stored_rules(folder, track, protocol.statistic)
    rows = [score_row(entry, figures[entry.slug], rules) for entry in folder.run.entries]
    # Ranks and ties are made again, since they depend on the times.
    board = rank_rows(rows, figures, rules)
    info = folder.run.protocol.model_copy(update={"statistic": protocol.statistic})
    disturbances = find_disturbances(
        board.entries, list(_records(folder, protocol).values()), folder.run.process_spread
    )
    warning = f"times are summarised again: {_WORDS[summary]}; measured by the protocol {info.name}"
    return folder.run.model_copy(
        update={
            "entries": board.entries,
            "comparisons": board.comparisons,
            "protocol": info,
            "disturbances": disturbances,
            "warnings": [*(one.sentence for one in disturbances), *folder.run.remarks, warning],
        }
    )


def _summarised(folder: RunFolder, track: Track, protocol: TimingProtocol) -> dict[str, RowFigures]:
    """Return the measurements behind every row, with the times summarised by `protocol`."""
    records, spread = _records(folder, protocol), spread_of(folder.run.process_spread)
    level = anchor_level(records.values())
    figures = stored_figures(folder, track, records)
    for slug, record in records.items():
        runtime = summarise_record(record, protocol.summary_rule, level, spread)
        figures[slug] = replace(figures[slug], runtime=runtime)
    return figures


def _records(folder: RunFolder, protocol: TimingProtocol) -> dict[str, TimingRecord]:
    """Return the timing by slug, without rounds if all calls are summarised as they are."""
    records = {e.slug: read_timing(folder.path, e.slug) for e in folder.run.entries if e.runtime_ms is not None}
    if protocol.takes_turns:
        return records
    return {slug: record.model_copy(update={"rounds": []}) for slug, record in records.items()}


def _protocol(summary: Summary) -> TimingProtocol:
    if summary == "robust":
        return ROBUST
    # Only the summary is used: nothing is timed by this protocol.
    return replace(ROBUST, order="alone", statistic=summary)


def write_resummarized(run_folder: Path, summary: Summary) -> tuple[Run, Path]:
    """Write a run's table by another statistic into a folder inside the run's, as a run of its own.

    Parameters
    ----------
    run_folder, summary
        See :func:`resummarize`.

    Returns
    -------
    tuple
        The run, and its folder, ``resummarized-SUMMARY`` in the folder of the first.

    Raises
    ------
    UsageError, ResultsError
        See :func:`resummarize`; or the folder cannot be written.
    """
    run = resummarize(run_folder, summary)
    folder = load_run(run_folder)
    records = _records(folder, _protocol(summary))
    # Without rounds if all calls are summarised as they are: the pages of the derived run show what was used.
    samples = {f"samples/{slug}.json": timing_text(slug, record) for slug, record in records.items()}
    return run, write_derived(folder, run, f"resummarized-{summary}", samples)
