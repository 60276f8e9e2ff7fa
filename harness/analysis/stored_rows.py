"""The measurements behind the rows of a stored run, as the scoring takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.report.images import bicubic_slug
from harness.results.measurement import TimingRecord
from harness.results.record import Statistic
from harness.results.run_folder import RunFolder
from harness.results.samples import has_timing, read_timing
from harness.results.schema import Entry
from harness.statistics.process_spread import spread_of
from harness.statistics.runtime_summary import relative_times
from harness.tracks import Track
from harness.tracks.dataset_means import balanced
from harness.tracks.scoring import RowFigures, ScoringRules


def stored_rules(folder: RunFolder, track: Track, statistic: Statistic | None = None) -> ScoringRules:
    """Return the rules by which a stored run is scored.

    Parameters
    ----------
    folder
        The run.
    track
        Its track.
    statistic
        The statistic of the runtime that the score uses; that of the run by default.
    """
    run = folder.run
    return ScoringRules(
        track=track,
        bicubic_psnr=run.track.bicubic_psnr,
        statistic=statistic or run.protocol.statistic,
        backend=run.protocol.backend,
        # Empty if the run has no row of bicubic.
        reference=psnr_by_image(folder, bicubic_slug(folder) or "", track.metric),
        bicubic_by_dataset=bicubic_by_dataset(folder),
    )


def stored_figures(folder: RunFolder, track: Track, records: Mapping[str, TimingRecord]) -> dict[str, RowFigures]:
    """Return the measurements behind every row, by slug, with the stored summaries of the times.

    Parameters
    ----------
    folder
        The run.
    track
        Names the PSNR that is scored.
    records
        The timing by slug. Rows without one have no times.
    """
    spread, reference = spread_of(folder.run.process_spread), bicubic_slug(folder)
    return {
        entry.slug: RowFigures(
            psnr=psnr_by_image(folder, entry.slug, track.metric),
            runtime=entry.runtime_ms,
            times=relative_times(records[entry.slug], spread) if entry.slug in records else None,
            is_reference=entry.slug == reference,
        )
        for entry in folder.run.entries
    }


def stored_timing(folder: RunFolder, entry: Entry) -> TimingRecord | None:
    """Return the timing of a row, or None if it was not timed or only the table of the run was kept.

    Raises
    ------
    ResultsError
        The file of samples is damaged.
    """
    if entry.runtime_ms is None or not has_timing(folder.path, entry.slug):
        return None
    return read_timing(folder.path, entry.slug)


def bicubic_figures(folder: RunFolder) -> Entry | None:
    """Return the row of bicubic interpolation, or None if the run has none."""
    slug = bicubic_slug(folder)
    # `slug` is None in a run without baselines, and no entry has that.
    return next((entry for entry in folder.run.entries if entry.slug == slug), None)


def psnr_by_image(folder: RunFolder, slug: str, measure: str) -> dict[str, float]:
    """Return a PSNR of a row by image, dB, with equal weights of all data sets; `measure` is its column."""
    images = folder.per_image.get(slug, {})
    psnr = {name: measures[measure] for name, measures in images.items() if measure in measures}
    return balanced(psnr, dataset_labels(folder, psnr))


def dataset_labels(folder: RunFolder, images: Iterable[str]) -> dict[str, str]:
    """Return the label of the data set of each image; empty in a run with one data set."""
    # Labels contain no slash.
    return {name: name.partition("/")[0] for name in images} if folder.run.datasets else {}


def bicubic_by_dataset(folder: RunFolder) -> dict[str, float]:
    """Return the PSNR of bicubic on each data set of a run with several, by its label, dB."""
    return {one.label: one.bicubic_psnr for one in folder.run.datasets if one.bicubic_psnr is not None}
