"""From measurements to ranked rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.results.measurement import ImageQuality, Measurement
from harness.results.schema import About, Entry, Published, QualityFigures, Runtime
from harness.statistics.energy import energy_of
from harness.statistics.process_spread import RelativeTimes
from harness.tracks.dataset_means import balanced, by_dataset, mean_over_datasets, mean_quality
from harness.tracks.roofline import roofline
from harness.tracks.scoring import Leaderboard, RowFigures, ScoringRules, rank_rows, score_row
from harness.tracks.track import Track

_NAMED_TWINS = 5
_TAKEN_OVER = sorted(Entry.model_fields.keys() & Measurement.model_fields.keys())
"""Fields that a row takes from its measurement as they are."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A submission with its measurement, as far as its row needs it.

    Tracks know neither folders nor plans. This record has what a row takes from them besides the measurement.

    Attributes
    ----------
    name, team, kind, slug
        As the leaderboard shows them.
    measurement
        The stored figures.
    runtime
        Summary of the timing; None if the submission was not timed.
    published
        The figures that its authors claim at this scale.
    reconstructed
        Whether its layers were solved from published counts.
    is_reference
        Whether it is the interpolation that the score subtracts.
    times
        The times behind `runtime`, with which rows are compared.
    about
        What the submission says of itself.
    content
        Hash of code, weights and conditions, equal for copies; the measurement's fingerprint by default.
    size_bytes
        Size of the file of weights; None where the manifest names none.
    variant_of
        Slug of the row of the same network on the run's first backend; empty for that row itself.
    """

    name: str
    team: str
    kind: Literal["submission", "baseline"]
    slug: str
    measurement: Measurement
    runtime: Runtime | None
    published: Published | None = None
    reconstructed: bool = False
    is_reference: bool = False
    times: RelativeTimes | None = None
    about: About | None = None
    content: str = ""
    variant_of: str = ""
    size_bytes: int | None = None


def make_leaderboard(candidates: Sequence[Candidate], rules: ScoringRules) -> Leaderboard:
    """Score and rank candidates.

    Parameters
    ----------
    candidates
        In the order of discovery.
    rules
        How rows are scored and ranked. The reference's PSNR of each image is taken from its row.

    Returns
    -------
    Leaderboard
        The rows in the order of the table, and the comparison of every pair of ranked rows.
    """
    figures = {candidate.slug: _figures(candidate, rules.track) for candidate in candidates}
    # A run without baselines has none; then only the time widens the intervals, see `score_interval`.
    references = [one.psnr for one in figures.values() if one.is_reference]
    if references:
        rules = replace(rules, reference=references[0])
    twins = _twins(candidates)
    entries = []
    for candidate in candidates:
        # All rows are scored before any is ranked.
        entry = score_row(_entry(candidate, rules), figures[candidate.slug], rules)
        entries.append(entry.model_copy(update={"notes": [*entry.notes, *twins.get(entry.slug, [])]}))
    return rank_rows(entries, figures, rules)


def _figures(candidate: Candidate, track: Track) -> RowFigures:
    images = candidate.measurement.images
    psnr = {image.image: float(getattr(image, track.metric)) for image in images}
    labels = {image.image: image.dataset for image in images}
    # Balanced, so that the mean over images is the mean over data sets that is scored.
    return RowFigures(balanced(psnr, labels), candidate.runtime, candidate.times, candidate.is_reference)


def _twins(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Return a note for every candidate that has the same code and weights as another."""
    by_fingerprint: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_fingerprint.setdefault(candidate.content or candidate.measurement.fingerprint, []).append(candidate)
    return {
        candidate.slug: [f"same code and weights as {_others(group, candidate)}"]
        for group in by_fingerprint.values()
        if len(group) > 1
        for candidate in group
    }


def _others(group: Sequence[Candidate], candidate: Candidate) -> str:
    """Return the names of the others of a group; a few if there are many, because each of them has such a note."""
    # One more than are named, because the candidate itself may be among them.
    named = [other.name for other in group[: _NAMED_TWINS + 1] if other is not candidate][:_NAMED_TWINS]
    rest = len(group) - 1 - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def _entry(candidate: Candidate, rules: ScoringRules) -> Entry:
    """Return a row without score and rank."""
    measured, runtime = candidate.measurement, candidate.runtime
    # A failed row shows no quality, although some images may have been upscaled.
    groups = by_dataset(measured.images) if measured.status == "ok" else {}
    quality = mean_over_datasets(groups, rules.track.convention)
    return Entry(
        name=candidate.name,
        team=candidate.team,
        kind=candidate.kind,
        slug=candidate.slug,
        variant_of=candidate.variant_of,
        reconstructed=candidate.reconstructed,
        **{name: getattr(measured, name) for name in _TAKEN_OVER},
        # A multiply-accumulate is two operations.
        flops=None if measured.macs is None else 2 * measured.macs,
        size_bytes=candidate.size_bytes,
        energy=energy_of(measured.timing),
        roofline=roofline(measured, None if runtime is None else getattr(runtime, rules.statistic)),
        psnr_rgb=quality.psnr_rgb if quality else None,
        psnr_y=quality.psnr_y if quality else None,
        ssim_rgb=quality.ssim_rgb if quality else None,
        ssim_y=quality.ssim_y if quality else None,
        datasets={label: mean_quality(group, rules.track.convention) for label, group in groups.items() if label},
        conventions={} if quality is None else _further_conventions(measured.images),
        delta_psnr_bicubic=getattr(quality, rules.track.metric) - rules.bicubic_psnr if quality else None,
        precision_drop_db=None if quality is None else _precision_drop(measured, rules.track.convention),
        published=candidate.published,
        about=candidate.about,
    )


def _precision_drop(measured: Measurement, convention: str) -> float | None:
    if measured.float32_psnr_rgb is None:
        return None
    # Float32 is measured on the first data set.
    first = next(iter(by_dataset(measured.images).values()))
    return measured.float32_psnr_rgb - mean_quality(first, convention).psnr_rgb


def _further_conventions(images: Sequence[ImageQuality]) -> dict[str, QualityFigures]:
    """Return the means by further conventions, of those by which every image was measured."""
    names = [name for name in images[0].conventions if all(name in image.conventions for image in images)]
    groups = by_dataset(images)
    means = {
        name: mean_over_datasets(
            {label: [image.conventions[name] for image in group] for label, group in groups.items()}, name
        )
        for name in names
    }
    return {name: mean for name, mean in means.items() if mean is not None}
