"""From measurements to ranked rows: the only place where scores and ranks are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from harness.results.measurement import ImageQuality, Measurement
from harness.results.schema import Backend, Entry, Published, QualityFigures, Runtime
from harness.statistics.process_spread import RelativeTimes
from harness.tracks.ranking import rank
from harness.tracks.roofline import roofline
from harness.tracks.score_inference import Evidence, score_interval, tied
from harness.tracks.track import Track


@dataclass(frozen=True, slots=True)
class Candidate:
    """A submission with all that was measured of it.

    Attributes
    ----------
    name, team, kind, slug
        As the leaderboard shows them.
    measurement
        The stored figures.
    runtime
        The timing, summarised; None where the submission was not timed.
    published
        The figures that its authors claim at this scale.
    reconstructed
        Whether its layers were solved from published counts.
    is_reference
        Whether it is the interpolation that the score subtracts: its score is 0 by definition, whatever a device's
        rounding makes of the last digit of its PSNR.
    pace
        The times behind `runtime`, so that rows can be told apart or not.
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
    pace: RelativeTimes | None = None


def make_entries(
    candidates: Sequence[Candidate],
    track: Track,
    bicubic_psnr: float,
    statistic: Literal["mean", "median"],
    backend: Backend = "eager",
) -> list[Entry]:
    """Score and rank candidates.

    Parameters
    ----------
    candidates
        In the order of discovery.
    track
        Whose formula scores.
    bicubic_psnr
        PSNR of bicubic on the same images, dB: the figure that the track's ``metric`` names.
    statistic
        Which statistic of the runtime the score uses.
    backend
        The run's: backends are never mixed in a ranking.

    Returns
    -------
    list of Entry
        Scored rows first, best first; then what has no score, in the order of discovery. Baselines, and what was
        executed in another backend, are scored but not ranked, so that they take no place from a submission.
    """
    reference = _reference(candidates, track)
    twins = _twins(candidates)
    entries = []
    for candidate in candidates:
        entry = _entry(candidate, track, bicubic_psnr, statistic, reference)
        entries.append(entry.model_copy(update={"notes": [*entry.notes, *twins.get(entry.slug, [])]}))
    return ranked(entries, _evidence(candidates, entries, track, statistic), track, bicubic_psnr, backend)


def ranked(
    entries: Sequence[Entry], evidence: Mapping[str, Evidence], track: Track, bicubic_psnr: float, backend: Backend
) -> list[Entry]:
    """Return rows with their ranks and ties, in the order of the leaderboard.

    Parameters
    ----------
    entries
        Scored rows, in the order of discovery.
    evidence
        What each score rests on, by slug; a row without takes a rank and ties with none.
    track, bicubic_psnr
        As for the scores.
    backend
        The run's. Rows of another backend take no rank: their times are of another way of executing.
    """
    scores = {
        e.slug: e.score for e in entries if e.score is not None and e.kind == "submission" and e.backend == backend
    }
    ranks = rank(scores, higher_is_better=track.higher_is_better)
    ties = tied({slug: evidence[slug] for slug in ranks if slug in evidence}, track, bicubic_psnr)
    placed = [
        entry.model_copy(update={"rank": ranks.get(entry.slug), "tied_with": ties.get(entry.slug, [])})
        for entry in entries
    ]
    return sorted(placed, key=lambda entry: _order(entry, track))


def _reference(candidates: Sequence[Candidate], track: Track) -> dict[str, float]:
    """Return the PSNR of each image by the interpolation that the score subtracts; empty where no row has it."""
    images = [image for candidate in candidates if candidate.is_reference for image in candidate.measurement.images]
    return {image.image: getattr(image, track.metric) for image in images}


def _evidence(
    candidates: Sequence[Candidate], entries: Sequence[Entry], track: Track, statistic: Literal["mean", "median"]
) -> dict[str, Evidence]:
    """Return what each score rests on, by slug; rows that were measured before times were kept have none."""
    return {
        entry.slug: Evidence(
            [getattr(image, track.metric) for image in candidate.measurement.images],
            getattr(entry.runtime_ms, statistic),
            candidate.pace,
        )
        for candidate, entry in zip(candidates, entries, strict=True)
        if candidate.pace is not None and entry.score is not None
    }


def _order(entry: Entry, track: Track) -> tuple[bool, float]:
    sign = -1.0 if track.higher_is_better else 1.0
    return entry.score is None, sign * (entry.score or 0.0)


def _twins(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Return a remark for every candidate whose code and weights another one has too."""
    by_fingerprint: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_fingerprint.setdefault(candidate.measurement.fingerprint, []).append(candidate)
    return {
        candidate.slug: [f"same code and weights as {', '.join(c.name for c in group if c is not candidate)}"]
        for group in by_fingerprint.values()
        if len(group) > 1
        for candidate in group
    }


def _entry(
    candidate: Candidate,
    track: Track,
    bicubic_psnr: float,
    statistic: Literal["mean", "median"],
    reference: Mapping[str, float],
) -> Entry:
    measured = candidate.measurement
    runtime = candidate.runtime
    quality = _mean_quality(measured.images, track.convention) if measured.status == "ok" else None
    milliseconds = None if runtime is None else getattr(runtime, statistic)
    score = (
        None
        if quality is None or milliseconds is None
        else _score(candidate, quality, milliseconds, track, bicubic_psnr)
    )
    drop = None if quality is None else _precision_drop(measured, quality)
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
        score=score,
        score_ci=None if score is None else _score_interval(candidate, track, bicubic_psnr, statistic, reference),
        params=measured.params,
        macs=measured.macs,
        flops=None if measured.macs is None else 2 * measured.macs,
        macs_ntire23=measured.macs_ntire23,
        activations=measured.activations,
        macs_source=measured.macs_source,
        peak_memory_bytes=measured.peak_memory_bytes,
        roofline=roofline(measured, milliseconds),
        incomplete_ops=measured.incomplete_ops,
        runtime_ms=runtime,
        fps=None if milliseconds is None else 1e3 / milliseconds,
        psnr_rgb=quality.psnr_rgb if quality else None,
        psnr_y=quality.psnr_y if quality else None,
        ssim_rgb=quality.ssim_rgb if quality else None,
        ssim_y=quality.ssim_y if quality else None,
        conventions={} if quality is None else _further_conventions(measured.images),
        delta_psnr_bicubic=getattr(quality, track.metric) - bicubic_psnr if quality else None,
        precision_drop_db=drop,
        reparam=measured.reparam,
        published=candidate.published,
    )


def _score(
    candidate: Candidate, quality: QualityFigures, milliseconds: float, track: Track, bicubic_psnr: float
) -> float:
    if candidate.is_reference:
        return 0.0
    return track.score(getattr(quality, track.metric), milliseconds, bicubic_psnr)


def _score_interval(
    candidate: Candidate,
    track: Track,
    bicubic_psnr: float,
    statistic: Literal["mean", "median"],
    reference: Mapping[str, float],
) -> tuple[float, float] | None:
    """Return what the score may be for the uncertainty of the time and of the choice of images."""
    runtime = candidate.runtime
    if runtime is None:
        return None
    if candidate.is_reference:
        return 0.0, 0.0
    values = {image.image: getattr(image, track.metric) for image in candidate.measurement.images}
    gains = [value - reference[name] for name, value in values.items() if name in reference]
    time = getattr(runtime, statistic)
    return score_interval(fmean(values.values()), time, runtime.ci, gains, track, bicubic_psnr)


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
