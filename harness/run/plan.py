"""Everything that a run decides before it starts: submissions, data set, device, track, protocol, folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness import __version__
from harness.backends import BACKENDS, backend_problem
from harness.data import Dataset, get_degradation, open_dataset
from harness.data.outputs import OutputFolder
from harness.errors import SubmissionError, UsageError
from harness.faults import concerns_the_run, submission_error
from harness.isolation.opening import require_sandbox_for_pickles
from harness.isolation.sandbox import Sandbox, choose
from harness.machine.device import describe_device
from harness.plain_files import Deadline
from harness.quality import get_convention
from harness.results import combine
from harness.results.crops import Choice, CropStore
from harness.results.fingerprint import fingerprint_files, surveyed
from harness.results.record import Backend
from harness.results.run_info import DeviceInfo, ProtocolInfo
from harness.submissions.discovery import BrokenSubmission, Found, Submission, baselines, discover
from harness.submissions.environments import check_options, needed
from harness.submissions.slugs import unique_slugs
from harness.timing import Precision, TimingProtocol, protocol_for
from harness.tracks import Track, get_track, track_for_scale

_TIMING_FRAMES = 4
_PROOF_FRAMES = 2
# Odd, because two forms of a network with strides may differ at the border of odd sizes only.
_PROOF_SIZE = (97, 131)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the user asked for; see the options of ``harness run``.

    ``memory_bytes`` limits what networks that are loaded together may use; None for the memory that is free.
    """

    submissions: tuple[Path, ...]
    scale: int | None = None
    track: str | None = None
    dataset: str = "embedded"
    out: Path | None = None
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    with_baselines: bool = True
    device: str = "auto"
    threads: int | None = None
    precision: Precision | None = None
    backend: Backend = "eager"
    protocol: str | None = None
    time_budget_s: float | None = None
    processes: int | None = None
    timeout_s: float = 600.0
    sandbox: Sandbox = "auto"
    install: bool = False
    wheels: Path | None = None
    trust_pickle: bool = False
    fresh: bool = False
    retry_failed: bool = False
    images: Literal["auto", "none", "crops", "full"] = "auto"
    crops: tuple[Choice, ...] = ()
    save_images: bool = False
    conventions: tuple[str, ...] = ()
    memory_bytes: int | None = None
    recount: bool = False
    verify_graph: bool = False
    command: str = ""


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
    """

    submission: Found
    fingerprint: str
    content: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes
    ----------
    request
        What the user asked for.
    track
        The challenge whose rules apply.
    dataset
        Pairs of LR and HR images.
    device
        Where networks run.
    protocol
        How time is measured.
    folder
        Where results go.
    submissions
        Baselines first, then submissions in natural order.
    """

    request: RunRequest
    track: Track
    dataset: Dataset
    device: DeviceInfo
    protocol: TimingProtocol
    folder: Path
    submissions: tuple[PlannedSubmission, ...]

    @property
    def names(self) -> list[tuple[str, str]]:
        """Slug and name of every submission, in order."""
        return [(planned.submission.slug, planned.submission.name) for planned in self.submissions]

    def crop_store(self) -> CropStore | None:
        """Return where crops for the report are kept; None to keep none.

        Crops show HR images. By default they are kept of the embedded data set only, whose images are public.
        """
        images = self.request.images
        if images == "none" or (images == "auto" and self.dataset.name != "embedded" and not self.request.crops):
            return None
        return CropStore(
            self.folder,
            self.dataset.fingerprint,
            images=self.dataset.names,
            choices=self.request.crops,
            whole=images == "full",
        )

    def outputs_of(self, planned: PlannedSubmission) -> OutputFolder | None:
        """Return where a submission's upscaled images are kept; None if the run keeps none."""
        if not self.request.save_images:
            return None
        return OutputFolder(self.folder / "images" / planned.submission.slug, planned.fingerprint)

    def timing_frames(self) -> list[NDArray[np.uint8]]:
        """Return several LR frames of the track's timed size, made from the data set's own images."""
        _, _, height, width = self.track.input_shape
        count = min(_TIMING_FRAMES, len(self.dataset))
        return [_fill(self.dataset.pair(index)[0], height, width) for index in range(count)]

    def proof_frames(self) -> list[NDArray[np.uint8]]:
        """Return small natural LR crops on which two forms of a network are compared."""
        count = min(_PROOF_FRAMES, len(self.dataset))
        return [_fill(_centre(self.dataset.pair(index)[0], *_PROOF_SIZE), *_PROOF_SIZE) for index in range(count)]

    def protocol_info(self) -> ProtocolInfo:
        """Return the description of the protocol for ``results.json``."""
        return ProtocolInfo(
            name=self.protocol.name,
            input_shape=self.track.input_shape,
            output_shape=self.track.output_shape,
            precision=self.protocol.precision,
            backend=self.request.backend,
            warmup=self.protocol.describe_warmup(),
            repeats=self.protocol.describe_repeats(),
            statistic=self.protocol.statistic,
            clock="monotonic clock" if self.device.kind == "cpu" else "device events",
            time_budget_s=self.protocol.budget_s,
            processes=self.protocol.processes,
        )


def discover_submissions(request: RunRequest) -> list[Found]:
    """Return what the run measures, without loading any submitted code: baselines first, then submissions by name.

    Raises
    ------
    UsageError
        Nothing to run.
    """
    own = baselines()
    # A submission never has the slug of a baseline, also in runs without baselines: rows of runs are compared by slug.
    taken = [row.slug for row in own]
    found = discover(request.submissions, only=request.only, exclude=request.exclude, taken=taken)
    return [*(own if request.with_baselines else []), *found]


def make_plan(request: RunRequest, submissions: Sequence[Found] | None = None) -> Plan:
    """Decide everything that a run needs, without loading any submitted code.

    Parameters
    ----------
    request
        What the user asked for.
    submissions
        What is measured; by default what :func:`discover_submissions` finds.

    Raises
    ------
    UsageError
        Nothing to run, an unknown track, data set or device, or options that contradict one another.
    DataError
        The data set cannot be read.
    """
    track = _track(request)
    _check_options(request)
    found = discover_submissions(request) if submissions is None else submissions
    dataset = open_dataset(request.dataset, track.scale, get_degradation(track.degradation))
    _check_crops(request, dataset)
    device = describe_device(request.device, request.threads)
    protocol = protocol_for(
        device.kind,
        name=request.protocol or track.protocol,
        budget_s=request.time_budget_s,
        precision=request.precision,
        processes=request.processes,
    )
    _require_backend(request.backend, device.kind)
    conditions = _conditions(track, dataset, device, protocol, request)
    planned = _distinct([_planned(submission, request, track.scale, conditions) for submission in found])
    folder = request.out or Path("reports") / f"{track.name}-{dataset.name}"
    return Plan(request, track, dataset, device, protocol, folder, planned)


def _check_options(request: RunRequest) -> None:
    check_options(install=request.install, wheels=request.wheels)
    for name in request.conventions:
        get_convention(name)
    if request.trust_pickle:
        require_sandbox_for_pickles(choose(request.sandbox))


def _check_crops(request: RunRequest, dataset: Dataset) -> None:
    if request.crops and request.images == "none":
        raise UsageError("--crop asks for crops and --images none forbids them", hint="drop one of the two")
    names = list(dataset.names)
    for crop in request.crops:
        if crop.image not in names:
            known = ", ".join(get_close_matches(crop.image, names, 3, 0.4) or names[:6])
            raise UsageError(f"data set {dataset.name} has no image {crop.image!r}", hint=f"it has {known}")
        height, width = dataset.pair(names.index(crop.image))[1].shape[:2]
        if crop.x + crop.size > width or crop.y + crop.size > height:
            reach = f"the crop {crop.x},{crop.y},{crop.size} reaches beyond {crop.image}"
            raise UsageError(reach, hint=f"the image is {width} pixels wide and {height} high")


def _track(request: RunRequest) -> Track:
    if request.track is None:
        return track_for_scale(request.scale or 2)
    track = get_track(request.track)
    if request.scale not in (None, track.scale):
        raise UsageError(
            f"track {track.name} is for scale {track.scale}, not {request.scale}",
            hint="drop --scale or choose another --track",
        )
    return track


def _require_backend(backend: str, device: str) -> None:
    problem = backend_problem(backend, device)
    if problem is not None:
        raise UsageError(f"--backend {backend} {problem[0]}", hint=problem[1])


def _conditions(
    track: Track, dataset: Dataset, device: DeviceInfo, protocol: TimingProtocol, request: RunRequest
) -> str:
    """Return the hash of what all submissions of a run share."""
    return combine(
        {
            "harness": __version__,
            "input_shape": track.input_shape,
            "dataset": dataset.fingerprint,
            "device": device.model_dump(mode="json"),
            "protocol": asdict(protocol),
            "conventions": [track.convention, *sorted(request.conventions)],
            "backend": request.backend,
            "backend_versions": _backend_versions(request.backend),
            **({"recount": True} if request.recount else {}),
            **({"verify_graph": True} if request.verify_graph else {}),
        }
    )


def _distinct(planned: Sequence[PlannedSubmission]) -> tuple[PlannedSubmission, ...]:
    """Return the submissions with slugs and fingerprints of which none occurs twice: rows and files are named by them.

    The first keeps its slug. Copies of a submission that have its name are numbered.
    """
    distinct: list[PlannedSubmission] = []
    copies: dict[str, int] = {}
    slugs: set[str] = set()
    for one in planned:
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
    return combine({"content": content, "kind": submission.kind, "name": submission.name})


def _planned(submission: Found, request: RunRequest, scale: int, conditions: str) -> PlannedSubmission:
    """Plan one submission. Whatever its files are, the exception that they cause becomes its row."""
    if isinstance(submission, BrokenSubmission):
        return _planned_broken(submission, conditions)
    try:
        deadline = Deadline()
        files = surveyed(submission.root, deadline, links_may_leave=submission.module is not None)
        code = fingerprint_files(files, deadline)
        content = _fingerprint(submission, code, scale, request.backend, conditions, install=request.install)
        note = files.note()
        return PlannedSubmission(submission, _owned(submission, content), content, () if note is None else (note,))
    except Exception as error:
        if concerns_the_run(error):
            raise
        broken = BrokenSubmission(
            submission.name, submission.root, _unreadable(error, submission), submission.slug, submission.kind
        )
        return _planned_broken(broken, conditions)


def _unreadable(error: Exception, submission: Submission) -> SubmissionError:
    place = str(submission.root)
    if isinstance(error, OSError):
        return SubmissionError(f"a file cannot be read ({error})", where=place, hint="change its permissions")
    return submission_error(error, place)


def _planned_broken(submission: BrokenSubmission, conditions: str) -> PlannedSubmission:
    content = combine({"broken": str(submission.path), "error": str(submission.error), "conditions": conditions})
    return PlannedSubmission(submission, _owned(submission, content), content)


def _fingerprint(
    submission: Submission, code: str, scale: int, backend: Backend, conditions: str, *, install: bool = False
) -> str:
    manifest = submission.manifest
    weights = manifest.weights_for(scale)
    installed = needed(submission.root, manifest) if install else []
    return combine(
        {
            "conditions": conditions,
            "code": code,
            "module": submission.module,
            "factory": manifest.factory,
            "scale": scale,
            "supported": scale in manifest.scales,
            "in_backend": manifest.backends is None or backend in manifest.backends,
            "weights": None if weights is None else str(weights),
            "weights_key": manifest.weights_key,
            "value_range": manifest.value_range,
            "size_multiple": manifest.size_multiple,
            "reparameterize": manifest.reparameterize,
            "random_weights": manifest.lacks_weights(scale),
            "requires": manifest.requires,
            **({"installed": installed} if installed else {}),
        }
    )


def _backend_versions(backend: Backend) -> dict[str, str]:
    """Return the versions of what executes the networks beside torch."""
    return {package: version(package) for package in BACKENDS.get(backend).packages}


def _centre(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = max(0, (image.shape[0] - height) // 2), max(0, (image.shape[1] - width) // 2)
    return image[top : top + height, left : left + width]


def _fill(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return an image of exactly the given size: mirrored outwards where it is smaller, cropped where larger."""
    missing = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    grown = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(grown[:height, :width])
