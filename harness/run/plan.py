"""Everything that a run decides before it starts: submissions, data set, device, track, protocol, folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.backends import backend_problem
from harness.data import Dataset
from harness.data.outputs import OutputFolder
from harness.engines import Engine, LocalEngine, Place
from harness.errors import UsageError
from harness.isolation.messages import MAX_ARRAYS
from harness.isolation.opening import require_sandbox_for_pickles
from harness.isolation.sandbox import choose
from harness.quality import get_convention
from harness.results.crops import CropStore
from harness.results.run_info import DeviceInfo, ProtocolInfo
from harness.results.schema import ReparamPolicy
from harness.run.backend_variants import plan_all_backends
from harness.run.datasets import LabelledDataset, open_datasets
from harness.run.places import device_of_run, order_places
from harness.run.planned import PlannedSubmission, run_conditions
from harness.run.request import RunRequest
from harness.submissions.discovery import Found, baselines, discover, skipped_note
from harness.submissions.environments import check_options
from harness.submissions.submission import Submission
from harness.timing import TimingProtocol, protocol_for
from harness.tracks import DEFAULT_SCALES, Track, get_track, track_for_scale

__all__ = ["Plan", "PlannedSubmission", "RunRequest", "discover_submissions", "make_plan"]

TIMING_FRAMES = 4
"""Number of images of which timed frames are made: the first ones of the data set."""
_PROOF_FRAMES = 2
# Odd, because two forms of a network with strides may differ at the border of odd sizes only.
_PROOF_SIZE = (97, 131)


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
        Pairs of LR and HR images. Timed frames, and crops for the report, come from this data set.
    device
        Where networks run.
    protocol
        How time is measured.
    folder
        Where results go.
    submissions
        Baselines first, then submissions in natural order, each on all backends of the run.
    label
        Label of `dataset`, see `harness.run.datasets`.
    further
        More data sets, on which quality is measured too.
    places
        Where workers run. Those that may time have devices of one model, that of `device`, and come first.
    note
        Decisions made for the user that are worth a remark; empty if there are none.
    timed
        Whether networks are executed at the timed size.
    has_ceilings
        Whether the device's peak rates are measured, for the roofline and to find times that are impossible.
    """

    request: RunRequest
    track: Track
    dataset: Dataset
    device: DeviceInfo
    protocol: TimingProtocol
    folder: Path
    submissions: tuple[PlannedSubmission, ...]
    label: str = ""
    further: tuple[LabelledDataset, ...] = ()
    places: tuple[Place, ...] = ()
    note: str = ""
    timed: bool = True
    has_ceilings: bool = True

    @property
    def place(self) -> Place:
        """Where workers run; the first place if there are several."""
        return self.places[0]

    @property
    def datasets(self) -> tuple[LabelledDataset, ...]:
        """All data sets, the first one first."""
        return (LabelledDataset(self.label, self.dataset), *self.further)

    @property
    def image_count(self) -> int:
        """Number of images of all data sets."""
        return sum(len(one.dataset) for one in self.datasets)

    def image_at(self, label: str, index: int) -> tuple[str, float]:
        """Return the name of an image, with its data set's label, and which share of all images precedes it."""
        before = 0
        for one in self.datasets:
            if one.label == label:
                name = one.dataset.names[index]
                return (f"{label}/{name}" if self.further else name), (before + index) / self.image_count
            before += len(one.dataset)
        raise KeyError(label)

    @property
    def reparam_policy(self) -> ReparamPolicy:
        """Which form of a network is measured: what the user asked for, else the track's default."""
        return self.request.reparam or self.track.reparam_policy

    @property
    def names(self) -> list[tuple[str, str]]:
        """Slug and name of every submission, in order."""
        return [(planned.submission.slug, planned.submission.name) for planned in self.submissions]

    def of_row(self, planned: PlannedSubmission) -> Plan:
        """Return the plan as it is for one row, whose backend may be another than the run's first."""
        if planned.backend == self.request.backend:
            return self
        return replace(self, request=replace(self.request, backend=planned.backend))

    def crop_store(self) -> CropStore | None:
        """Return where crops for the report are kept; None to keep none.

        Crops show HR images. By default they are kept of the embedded data set only, whose images are public.
        """
        images = self.request.images
        # Crops that the user asked for by name are kept of any data set.
        if images == "none" or (images == "auto" and self.dataset.name != "embedded" and not self.request.crops):
            return None
        return CropStore(
            self.folder,
            self.dataset.fingerprint,
            images=self.dataset.names,
            choices=self.request.crops,
            whole=images == "full",
        )

    def outputs_of(self, planned: PlannedSubmission, label: str = "") -> OutputFolder | None:
        """Return where a submission's upscaled images are kept; None if the run keeps none.

        Images of further data sets are in a folder of their `label`.
        """
        if not self.request.save_images:
            return None
        # The fingerprint is stored with the images, so that outputs of another measurement do not count as complete.
        return OutputFolder(self.folder / "images" / planned.submission.slug / label, planned.fingerprint)

    def timing_frames(self) -> list[NDArray[np.uint8]]:
        """Return several LR frames of the track's timed size, made from the data set's own images."""
        _, _, height, width = self.track.input_shape
        # `SubmissionRun` keeps the scored outputs of the same images, to compare them with timed outputs.
        count = min(TIMING_FRAMES, len(self.dataset))
        return [_fill(self.dataset.pair(index)[0], height, width) for index in range(count)]

    def proof_frames(self) -> list[NDArray[np.uint8]]:
        """Return small natural LR crops on which two forms of a network are compared."""
        count = min(_PROOF_FRAMES, len(self.dataset))
        return [_fill(_centre(self.dataset.pair(index)[0], *_PROOF_SIZE), *_PROOF_SIZE) for index in range(count)]

    def used_sizes(self) -> list[tuple[int, int]]:
        """Return the timed size of an LR image, and that of the first image that is scored."""
        _, _, height, width = self.track.input_shape
        scored = [self.dataset.pair(index)[0].shape[:2] for index in range(min(1, len(self.dataset)))]
        return list(dict.fromkeys([(height, width), *((rows, columns) for rows, columns in scored)]))

    def protocol_info(self) -> ProtocolInfo:
        """Return the description of the protocol for ``results.json``."""
        return ProtocolInfo(
            name=self.protocol.name,
            input_shape=self.track.input_shape,
            output_shape=self.track.output_shape,
            precision=self.protocol.precision,
            backend=self.request.backend,
            further_backends=list(self.request.further_backends),
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
    # Listed also without baselines in the run, for their slugs.
    own = baselines()
    # A submission never has the slug of a baseline, also in runs without baselines: rows of runs are compared by slug.
    taken = [row.slug for row in own]
    found = discover(request.submissions, only=request.only, exclude=request.exclude, taken=taken)
    return [*(own if request.with_baselines else []), *found]


def make_plan(request: RunRequest, submissions: Sequence[Found] | None = None, engine: Engine | None = None) -> Plan:
    """Decide everything that a run needs, without loading any submitted code.

    Parameters
    ----------
    request
        What the user asked for.
    submissions
        What is measured; by default what :func:`discover_submissions` finds.
    engine
        Knows the devices; that of this machine by default.

    Raises
    ------
    UsageError
        Nothing to run, an unknown track, data set or device, or options that contradict one another.
    DataError
        The data set cannot be read.
    """
    _check_options(request)
    if request.track is not None:
        _track(request)  # a mistake in the options is reported before submissions are read
    found = discover_submissions(request) if submissions is None else submissions
    scale, note = _scale_of(request, found)
    note = "; ".join(filter(None, [note, skipped_note(request.submissions)]))
    track = _track(replace(request, scale=scale))
    # Only the first data set is part of the conditions: figures on further ones are stored by the data set.
    first, *further = open_datasets([request.dataset, *request.further_datasets], track, request.conventions)
    dataset = first.dataset
    _check_crops(request, dataset)
    places = order_places((engine or LocalEngine()).devices(request.device, request.threads), request.time_on)
    device = device_of_run(places)
    protocol = protocol_for(
        device.kind,
        name=request.protocol or track.protocol,
        budget_s=request.time_budget_s,
        precision=request.precision,
        processes=request.processes,
    )
    _require_few_frames(protocol, dataset)
    for backend in (request.backend, *request.further_backends):
        _require_backend(backend, device.kind)

    def conditions_of(one: RunRequest) -> str:
        return run_conditions(track, dataset, device, protocol, one)

    planned = plan_all_backends(found, request, track.scale, conditions_of)
    # Characters of the name are limited, because many data sets would exceed what a file system takes.
    named = "-".join([dataset.name, *(one.dataset.name for one in further)])
    folder = request.out or Path("reports") / f"{track.name}-{named[:100]}"
    return Plan(
        request, track, dataset, device, protocol, folder, planned, first.label, tuple(further), tuple(places), note
    )


def _check_options(request: RunRequest) -> None:
    check_options(install=request.install, wheels=request.wheels)
    for name in request.conventions:
        get_convention(name)
    # Unpickling executes code, so it is permitted in a strong sandbox only.
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


def _scale_of(request: RunRequest, found: Sequence[Found]) -> tuple[int | None, str]:
    """Return the scale of a run, and why it is none that the user or the track states; None if the track does.

    It is x2 unless all submissions are for other scales. Then it is the scale of most of them.
    """
    if request.scale is not None or request.track is not None:
        return request.scale, ""
    manifests = [one.manifest for one in found if isinstance(one, Submission) and one.kind == "submission"]
    # Scales without a default track do not count: a run at them needs --track.
    known = Counter(scale for one in manifests for scale in one.scales if scale in DEFAULT_SCALES)
    if not known or DEFAULT_SCALES[0] in known:
        return DEFAULT_SCALES[0], ""
    # Of scales that are equally frequent, the smallest.
    scale = max(sorted(known), key=lambda one: known[one])
    return scale, f"measured at x{scale}: no --scale was given, and no submission is for x{DEFAULT_SCALES[0]}"


def _track(request: RunRequest) -> Track:
    if request.track is None:
        return track_for_scale(request.scale or DEFAULT_SCALES[0])
    track = get_track(request.track)
    if request.scale not in (None, track.scale):
        raise UsageError(
            f"track {track.name} is for scale {track.scale}, not {request.scale}",
            hint="drop --scale or choose another --track",
        )
    return track


def _require_few_frames(protocol: TimingProtocol, dataset: Dataset) -> None:
    # They go to a worker in one request.
    if protocol.inputs == "dataset" and len(dataset) > MAX_ARRAYS:
        raise UsageError(
            f"protocol {protocol.name} times all images in one go, at most {MAX_ARRAYS:,}, and data set {dataset.name} "
            f"has {len(dataset):,}",
            hint="time on fewer images, or with --protocol robust",
        )


def _require_backend(backend: str, device: str) -> None:
    problem = backend_problem(backend, device)
    if problem is not None:
        raise UsageError(f"--backend {backend} {problem[0]}", hint=problem[1])


def _centre(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = max(0, (image.shape[0] - height) // 2), max(0, (image.shape[1] - width) // 2)
    return image[top : top + height, left : left + width]


def _fill(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return an image of exactly the given size: mirrored outwards where it is smaller, cropped where larger."""
    missing = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    # Mirrored and not repeated, so that no edges arise that no photograph has.
    grown = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(grown[:height, :width])
