"""A stored run's table by another statistic of the same samples: nothing is measured, nothing of the run is changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

from harness.errors import ResultsError, UsageError
from harness.files import write_atomically
from harness.report.images import bicubic_slug
from harness.report.rules import metric_of
from harness.results import Run
from harness.results.measurement import TimingRecord
from harness.results.run_folder import RunFolder, load_run
from harness.results.samples import read_timing, timing_text
from harness.results.schema import Entry
from harness.results.store import save_table
from harness.statistics.process_spread import spread_of
from harness.statistics.runtime_summary import anchor_level, relative_times, summarise_record
from harness.timing import ROBUST, TimingProtocol
from harness.tracks import Track, track_of
from harness.tracks.leaderboard import ranked
from harness.tracks.score_inference import Evidence, score_interval

Summary = Literal["mean", "median", "robust"]

_SHARED = ("samples", "layers", "per_image.csv", "logs", "crops")


def resummarize(run_folder: Path, summary: Summary) -> Run:
    """Return the run with its times, scores and ranks by another statistic.

    Parameters
    ----------
    run_folder
        Of a finished run, with its ``samples/``.
    summary
        ``mean`` or ``median`` of all timed calls as they are, as the challenges' scripts take them, or ``robust``: the
        median of the rounds' ratios to the anchor, for networks that were timed in rounds.

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
    records = _records(folder, protocol)
    level = anchor_level(records.values())
    rows = [_restated(folder, entry, records.get(entry.slug), protocol, level, track) for entry in folder.run.entries]
    evidence = _evidence(folder, rows, records, protocol)
    info = folder.run.protocol.model_copy(update={"statistic": protocol.statistic})
    warning = f"times are restated: {_WORDS[summary]}; measured by the protocol {info.name}"
    return folder.run.model_copy(
        update={
            "entries": ranked(rows, evidence, track, folder.run.track.bicubic_psnr, folder.run.protocol.backend),
            "protocol": info,
            "warnings": [*folder.run.warnings, warning],
        }
    )


def _records(folder: RunFolder, protocol: TimingProtocol) -> dict[str, TimingRecord]:
    """Return what was timed by slug; without rounds where the calls are taken as they are, also in comparisons."""
    records = {e.slug: read_timing(folder.path, e.slug) for e in folder.run.entries if e.runtime_ms is not None}
    if protocol.takes_turns:
        return records
    return {slug: record.model_copy(update={"rounds": []}) for slug, record in records.items()}


_WORDS = {
    "mean": "the mean of all timed calls",
    "median": "the median of all timed calls",
    "robust": "the median of the rounds' ratios to the anchor, scaled back",
}


def _protocol(summary: Summary) -> TimingProtocol:
    if summary == "robust":
        return ROBUST
    return replace(ROBUST, order="alone", statistic=summary)


def _restated(
    folder: RunFolder,
    entry: Entry,
    record: TimingRecord | None,
    protocol: TimingProtocol,
    level: float | None,
    track: Track,
) -> Entry:
    """Return a row with its time, frame rate and score made anew."""
    if record is None:
        return entry
    runtime = summarise_record(record, protocol.summary_rule, level, spread_of(folder.run.process_spread))
    milliseconds = getattr(runtime, protocol.statistic)
    timed = entry.model_copy(update={"runtime_ms": runtime, "fps": 1e3 / milliseconds})
    psnr = getattr(entry, metric_of(folder.run))
    if entry.score is None or psnr is None or entry.slug == bicubic_slug(folder):
        return timed
    bicubic = folder.run.track.bicubic_psnr
    interval = score_interval(psnr, milliseconds, runtime.ci, _gains(folder, entry), track, bicubic)
    return timed.model_copy(update={"score": track.score(psnr, milliseconds, bicubic), "score_ci": interval})


def _gains(folder: RunFolder, entry: Entry) -> list[float]:
    metric = metric_of(folder.run)
    reference = folder.per_image.get(bicubic_slug(folder) or "", {})
    own = folder.per_image.get(entry.slug, {})
    return [own[name][metric] - reference[name][metric] for name in own if name in reference]


def _evidence(
    folder: RunFolder, entries: list[Entry], records: dict[str, TimingRecord], protocol: TimingProtocol
) -> dict[str, Evidence]:
    metric, spread = metric_of(folder.run), spread_of(folder.run.process_spread)
    evidence = {}
    for entry in entries:
        psnr = [image[metric] for image in folder.per_image.get(entry.slug, {}).values() if metric in image]
        if entry.slug in records and psnr and entry.score is not None:
            time = float(getattr(entry.runtime_ms, protocol.statistic))
            evidence[entry.slug] = Evidence(psnr, time, relative_times(records[entry.slug], spread))
    return evidence


def write_resummarized(run_folder: Path, summary: Summary) -> tuple[Run, Path]:
    """Write a run's table by another statistic beside it, as a run of its own that shares its files.

    Parameters
    ----------
    run_folder, summary
        See :func:`resummarize`.

    Returns
    -------
    tuple
        The run, and its folder, ``restated-SUMMARY`` in that of the first.

    Raises
    ------
    UsageError, ResultsError
        See :func:`resummarize`; or the folder cannot be written.
    """
    run = resummarize(run_folder, summary)
    target = run_folder / f"restated-{summary}"
    try:
        shutil.rmtree(target, ignore_errors=True)
        for part in _SHARED:
            if (run_folder / part).is_dir():
                shutil.copytree(run_folder / part, target / part)
            elif (run_folder / part).is_file():
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy2(run_folder / part, target / part)
        for slug, record in _records(load_run(run_folder), _protocol(summary)).items():
            write_atomically(target / "samples" / f"{slug}.json", timing_text(slug, record))
    except OSError as error:
        raise ResultsError(f"cannot be written ({error})", where=str(target), hint="free some space") from error
    save_table(target, run.model_copy(update={"run": run.run.model_copy(update={"id": f"{run.run.id}-{summary}"})}))
    return run, target
