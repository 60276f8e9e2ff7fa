"""The submissions of a run with the keys of their stored measurements."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version

from harness import __version__
from harness.backends import BACKENDS
from harness.data import Dataset
from harness.errors import SubmissionError
from harness.faults import concerns_the_run, submission_error
from harness.results import combine
from harness.results.record import Backend
from harness.results.run_info import DeviceInfo
from harness.run.file_states import FileStates, file_states
from harness.run.form_choice import scored_figures
from harness.run.request import RunRequest
from harness.submissions.discovery import BrokenSubmission, Found, Submission
from harness.submissions.environments import needed
from harness.submissions.slugs import unique_slugs
from harness.timing import TimingProtocol
from harness.tracks import Track


@dataclass(frozen=True, slots=True)
class PlannedSubmission:
    """A submission with the key of its stored measurement.

    Attributes
    ----------
    submission
        What is measured.
    fingerprint
        Hash of everything that its figures depend on, and of whose they are. No two submissions of a run share it.
    content
        Hash of its code, its weights and the conditions of the run; equal for copies.
    notes
        Remarks on its files for its row.
    backend
        How the network is executed in this row.
    variant_of
        Slug of the row of the same submission on the run's first backend; empty for that row itself.
    files
        The files that `fingerprint` was made of; None where they are not watched.
    """

    submission: Found
    fingerprint: str
    content: str = ""
    notes: tuple[str, ...] = ()
    backend: Backend = "eager"
    variant_of: str = ""
    files: FileStates | None = field(default=None, compare=False, repr=False)


def plan_submissions(
    found: Sequence[Found], request: RunRequest, scale: int, conditions: str
) -> tuple[PlannedSubmission, ...]:
    """Return the submissions with slugs and fingerprints of which none occurs twice.

    Parameters
    ----------
    found
        Discovered submissions.
    request
        What the user asked for.
    scale
        Upscaling factor.
    conditions
        Hash of what all submissions share, from :func:`run_conditions`.
    """
    read = functools.cache(file_states)  # models of one manifest have one folder
    return _distinct([_planned(submission, request, scale, conditions, read) for submission in found])


def run_conditions(
    track: Track, dataset: Dataset, device: DeviceInfo, protocol: TimingProtocol, request: RunRequest
) -> str:
    """Return the hash of what all submissions of a run share."""
    # Everything here is part of each fingerprint: a change of any value measures all submissions again.
    return combine(
        {
            "harness": __version__,
            "input_shape": track.input_shape,
            "dataset": dataset.fingerprint,
            "device": device.model_dump(mode="json"),
            "protocol": _as_condition(protocol),
            "conventions": [track.convention, *sorted(request.conventions)],
            "backend": request.backend,
            "backend_versions": _backend_versions(request.backend),
            # Which form is measured depends on the figures that the track scores.
            "reparam": [request.reparam or track.reparam_policy, *scored_figures(track)],
            "analysis_limit_s": request.analysis_limit_s,
            # Only if set, so that measurements of runs without the option stay valid.
            **({"recount": True} if request.recount else {}),
            **({"verify_graph": True} if request.verify_graph else {}),
        }
    )


def _as_condition(protocol: TimingProtocol) -> dict[str, object]:
    """Return the fields of a protocol, without one that changes nothing, so that older measurements stay valid."""
    fields = asdict(protocol)
    if protocol.share_of_budget(is_ranked=False) == 1.0:
        del fields["unranked_share"]
    return fields


def _distinct(planned: Sequence[PlannedSubmission]) -> tuple[PlannedSubmission, ...]:
    """Return the submissions with slugs and fingerprints of which none occurs twice: rows and files are named by them.

    The first keeps its slug. Copies of a submission that have its name are numbered.
    """
    distinct: list[PlannedSubmission] = []
    copies: dict[str, int] = {}
    slugs: set[str] = set()
    for one in planned:
        # Two rows with one fingerprint would share one stored measurement, with the name of either.
        copy = copies[one.fingerprint] = copies.get(one.fingerprint, 0) + 1
        slug = one.submission.slug
        if slug.casefold() in slugs:
            (slug,) = unique_slugs([slug], slugs)
        slugs.add(slug.casefold())
        fingerprint = one.fingerprint if copy == 1 else combine({"first": one.fingerprint, "copy": copy})
        distinct.append(replace(one, submission=replace(one.submission, slug=slug), fingerprint=fingerprint))
    return tuple(distinct)


def _owned(submission: Found, content: str) -> str:
    """Return the key under which a submission's measurement is stored: no other submission's is stored there."""
    # The same code under another name or kind is another row, with a measurement of its own.
    return combine({"content": content, "kind": submission.kind, "name": submission.name})


def _planned(
    submission: Found,
    request: RunRequest,
    scale: int,
    conditions: str,
    read: Callable[..., FileStates],
) -> PlannedSubmission:
    """Plan one submission. An exception that its files cause becomes its row."""
    if isinstance(submission, BrokenSubmission):
        return _planned_broken(submission, conditions, request.backend)
    try:
        # Files of an installed package may link out of their folder, those of a submitted folder may not.
        files = read(submission.root, links_may_leave=submission.module is not None)
        content = _fingerprint(
            submission, files.fingerprint, scale, request.backend, conditions, install=request.install
        )
        notes = () if files.note is None else (files.note,)
        return PlannedSubmission(submission, _owned(submission, content), content, notes, request.backend, files=files)
    except Exception as error:
        if concerns_the_run(error):
            raise
        broken = BrokenSubmission(
            submission.name, submission.root, _unreadable(error, submission), submission.slug, submission.kind
        )
        return _planned_broken(broken, conditions, request.backend)


def _unreadable(error: Exception, submission: Submission) -> SubmissionError:
    place = str(submission.given or submission.root)
    if isinstance(error, OSError):
        return SubmissionError(f"a file cannot be read ({error})", where=place, hint="change its permissions")
    return submission_error(error, place)


def _planned_broken(submission: BrokenSubmission, conditions: str, backend: Backend) -> PlannedSubmission:
    # The error is part of the key: a submission that is repaired, or broken in another way, is a new one.
    content = combine({"broken": str(submission.path), "error": str(submission.error), "conditions": conditions})
    return PlannedSubmission(submission, _owned(submission, content), content, backend=backend)


def _fingerprint(
    submission: Submission, code: str, scale: int, backend: Backend, conditions: str, *, install: bool = False
) -> str:
    manifest = submission.manifest
    weights = manifest.weights_for(scale)
    # Other versions of the same packages can change times and outputs.
    installed = needed(submission.root, manifest) if install else []
    return combine(
        {
            "conditions": conditions,
            "code": code,
            "module": submission.module,
            "factory": manifest.factory,
            "scale": scale,
            # Changes of the manifest that turn a refusal into a measurement, or the other way round.
            "supported": scale in manifest.scales,
            "in_backend": manifest.backends is None or backend in manifest.backends,
            "weights": None if weights is None else str(weights),
            "weights_key": manifest.weights_key,
            "value_range": manifest.value_range,
            "size_multiple": manifest.size_multiple,
            "reparameterize": manifest.reparameterize,
            "random_weights": manifest.lacks_weights(scale),
            "requires": manifest.requires,
            "call": [manifest.alternatives, manifest.kwargs, manifest.folder, manifest.output, manifest.colour],
            **({"installed": installed} if installed else {}),
        }
    )


def _backend_versions(backend: Backend) -> dict[str, str]:
    """Return the versions of the packages other than torch that execute the networks."""
    # torch's version is in the description of the device.
    return {package: version(package) for package in BACKENDS.get(backend).packages}
