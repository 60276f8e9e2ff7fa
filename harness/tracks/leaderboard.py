"""From measurements to ranked rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.results.measurement import ImageQuality, Measurement
from harness.results.record import Backend
from harness.results.schema import Entry, Published, QualityFigures, Runtime
from harness.statistics.process_spread import RelativeTimes
from harness.tracks.roofline import roofline
from harness.tracks.scoring import Leaderboard, RowFigures, ScoringRules, rank_rows, score_row
from harness.tracks.track import Track


@dataclass(frozen=True, slots=True)
class Candidate:
    """A submission with its measurement.

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
    content
        Hash of code, weights and conditions, equal for copies; the measurement's fingerprint by default.
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
    content: str = ""


def make_leaderboard(
    candidates: Sequence[Candidate],
    track: Track,
    bicubic_psnr: float,
    statistic: Literal["mean", "median"],
    backend: Backend = "eager",
) -> Leaderboard:
    """Score and rank candidates.

    Parameters
    ----------
    candidates
        In the order of discovery.
    track
        Its formula computes the score.
    bicubic_psnr
        PSNR of bicubic on the same images, dB: the figure that the track's ``metric`` names.
    statistic
        The statistic of the runtime that the score uses.
    backend
        The run's backend; rows of other backends are not ranked.

    Returns
    -------
    Leaderboard
        The rows in the order of the table, and the comparison of every pair of ranked rows.
    """
    figures = {candidate.slug: _figures(candidate, track) for candidate in candidates}
    references = [one.psnr for one in figures.values() if one.is_reference]
    rules = ScoringRules(track, bicubic_psnr, statistic, backend)
    if references:
        rules = replace(rules, reference=references[0])
    twins = _twins(candidates)
    entries = []
    for candidate in candidates:
        entry = score_row(_entry(candidate, rules), figures[candidate.slug], rules)
        entries.append(entry.model_copy(update={"notes": [*entry.notes, *twins.get(entry.slug, [])]}))
    return rank_rows(entries, figures, rules)


def _figures(candidate: Candidate, track: Track) -> RowFigures:
    psnr = {image.image: float(getattr(image, track.metric)) for image in candidate.measurement.images}
    return RowFigures(psnr, candidate.runtime, candidate.times, candidate.is_reference)


def _twins(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Return a note for every candidate that has the same code and weights as another."""
    by_fingerprint: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_fingerprint.setdefault(candidate.content or candidate.measurement.fingerprint, []).append(candidate)
    return {
        candidate.slug: [f"same code and weights as {', '.join(c.name for c in group if c is not candidate)}"]
        for group in by_fingerprint.values()
        if len(group) > 1
        for candidate in group
    }


def _entry(candidate: Candidate, rules: ScoringRules) -> Entry:
    """Return a row without score and rank."""
    measured, runtime = candidate.measurement, candidate.runtime
    quality = _mean_quality(measured.images, rules.track.convention) if measured.status == "ok" else None
    return Entry(
        name=candidate.name,
        team=candidate.team,
        kind=candidate.kind,
        slug=candidate.slug,
        status=measured.status,
        error=measured.error,
        fingerprint=measured.fingerprint,
        isolation=measured.isolation,
        backend=measured.backend,
        build_s=measured.build_s,
        notes=measured.notes,
        reconstructed=candidate.reconstructed,
        params=measured.params,
        macs=measured.macs,
        flops=None if measured.macs is None else 2 * measured.macs,
        macs_ntire23=measured.macs_ntire23,
        activations=measured.activations,
        macs_source=measured.macs_source,
        counted_by=measured.counted_by,
        peak_memory_bytes=measured.peak_memory_bytes,
        roofline=roofline(measured, None if runtime is None else getattr(runtime, rules.statistic)),
        incomplete_ops=measured.incomplete_ops,
        psnr_rgb=quality.psnr_rgb if quality else None,
        psnr_y=quality.psnr_y if quality else None,
        ssim_rgb=quality.ssim_rgb if quality else None,
        ssim_y=quality.ssim_y if quality else None,
        conventions={} if quality is None else _further_conventions(measured.images),
        delta_psnr_bicubic=getattr(quality, rules.track.metric) - rules.bicubic_psnr if quality else None,
        precision_drop_db=None if quality is None else _precision_drop(measured, quality),
        reparam=measured.reparam,
        published=candidate.published,
    )


def _precision_drop(measured: Measurement, quality: QualityFigures) -> float | None:
    return None if measured.float32_psnr_rgb is None else measured.float32_psnr_rgb - quality.psnr_rgb


def _mean_quality(images: Sequence[QualityFigures], convention: str) -> QualityFigures | None:
    """Return the mean over images by the convention's rule: the mean of the PSNRs, unless it says otherwise."""
    from harness.quality import Quality, average

    if not images:
        return None
    mean = average([Quality(i.psnr_rgb, i.psnr_y, i.ssim_rgb, i.ssim_y) for i in images], convention)
    return QualityFigures(psnr_rgb=mean.psnr_rgb, psnr_y=mean.psnr_y, ssim_rgb=mean.ssim_rgb, ssim_y=mean.ssim_y)


def _further_conventions(images: Sequence[ImageQuality]) -> dict[str, QualityFigures]:
    """Return the means by further conventions, of those by which every image was measured."""
    names = [name for name in images[0].conventions if all(name in image.conventions for image in images)]
    means = {name: _mean_quality([image.conventions[name] for image in images], name) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}
