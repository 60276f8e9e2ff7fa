"""Rows of a run with several backends: a network has one row for each, and only that of the first is ranked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.results.record import Backend
from harness.run.planned import PlannedSubmission, plan_submissions
from harness.run.request import RunRequest
from harness.submissions.discovery import Found, Submission
from harness.submissions.slugs import unique_slugs

# Characters: slugs name files and folders, some with further suffixes.
_LONGEST_SLUG = 60


def plan_all_backends(
    found: Sequence[Found], request: RunRequest, scale: int, conditions_of: Callable[[RunRequest], str]
) -> tuple[PlannedSubmission, ...]:
    """Return the rows of a run: each submission on the first backend, followed by the same on the others.

    A row on another backend has the fingerprint that it has in a run with that backend alone, so that a stored
    measurement is reused in both directions. Its name ends with the backend. Baselines, and submissions that cannot run
    whatever the backend, have a row on the first backend only.

    Parameters
    ----------
    found
        Discovered submissions.
    request
        What the user asked for.
    scale
        Upscaling factor.
    conditions_of
        Returns the hash of what all rows on the backend of a request share.
    """
    # `variant_of` stays empty in these rows, which marks them as the ranked ones.
    first = plan_submissions(found, request, scale, conditions_of(request))
    rows = [[planned] for planned in first]
    # Compared without case, because some file systems ignore it and slugs become names of files.
    slugs = {planned.submission.slug.casefold() for planned in first}
    for backend in request.further_backends:
        # Planned as a run of its own, so that the fingerprints equal those of such a run.
        alone = replace(request, backend=backend, further_backends=())
        others = plan_submissions(found, alone, scale, conditions_of(alone))
        # Both plans are made from `found` in order, so that rows correspond by position.
        for row, other in zip(rows, others, strict=True):
            if _has_variants(row[0].submission, scale):
                row.append(_variant(other, row[0].submission.slug, backend, slugs))
    return tuple(planned for row in rows for planned in row)


def _has_variants(submission: Found, scale: int) -> bool:
    runs = isinstance(submission, Submission) and scale in submission.manifest.scales
    return runs and submission.kind == "submission"


def _variant(planned: PlannedSubmission, first: str, backend: Backend, slugs: set[str]) -> PlannedSubmission:
    """Return a row under a name and a slug of its own; `first` is the slug of the row on the first backend."""
    # The name of the backend stays whole, so that long slugs do not become alike.
    (slug,) = unique_slugs([f"{first[: _LONGEST_SLUG - 1 - len(backend)]}-{backend}"], slugs)
    slugs.add(slug.casefold())
    named = replace(planned.submission, name=f"{planned.submission.name} ({backend})", slug=slug)
    return replace(planned, submission=named, variant_of=first)
