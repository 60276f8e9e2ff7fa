"""Tasks of the places of a run with several places, and their results."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from harness.engines import Opener, Place, Shared
from harness.results import Measurement
from harness.results.schema import NetworkForm
from harness.run.context import EarlierTiming
from harness.run.plan import Plan
from harness.run.planned import PlannedSubmission
from harness.submissions.parcel import Parcel
from harness.timing.output_check import OutputSample
from harness.timing.timed_parts import TimedPart

TaskKind = Literal["time", "measure"]
"""``time``: load, reparameterize, count and time networks. ``measure``: upscale with one that is timed."""


@dataclass(frozen=True, slots=True)
class Briefing:
    """Settings of all tasks of a run.

    Attributes
    ----------
    plan
        The run, without its submissions and its places.
    engine
        Starts workers on the machine that carries out a task.
    shares_files
        Whether that machine sees the controller's files.
    crops
        Content of the run's list of crops, if there is one.
    """

    plan: Plan
    engine: Opener
    shares_files: bool
    crops: bytes | None = None


@dataclass(frozen=True, slots=True)
class Timed:
    """A network that was timed.

    Attributes
    ----------
    measurement
        All that is known of it.
    output
        A part of a timed output, which it must still give when it has upscaled the images.
    parts
        Parts of timed outputs, at most MAX_PARTS, which must be as good as the images that are scored.
    regions
        What was collapsed in the form that was timed. None if another run timed it.
    """

    measurement: Measurement
    output: OutputSample | None = None
    parts: tuple[TimedPart, ...] = ()
    regions: tuple[str, ...] | None = None

    @property
    def form(self) -> NetworkForm | None:
        """The form that was timed; None if no form is known."""
        reparam = self.measurement.reparam
        return None if reparam is None else next((one for one in reparam.forms if one.name == reparam.form), None)


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work of one place.

    Attributes
    ----------
    kind
        What is done.
    place
        Where, as a process on that machine sees it.
    title
        The place's name in messages.
    submissions
        Whose networks: those that are timed together, or one to measure.
    parcels
        Their files by slug; empty where the machine sees the controller's.
    timed
        What is known of the network that is measured.
    earlier
        Timings of the place's device, with which the networks that are timed are compared.
    """

    kind: TaskKind
    place: Place
    title: str
    submissions: tuple[PlannedSubmission, ...]
    parcels: dict[str, Shared[Parcel]] = field(default_factory=dict)
    timed: Timed | None = None
    earlier: tuple[EarlierTiming, ...] = ()


@dataclass(slots=True)
class Outcome:
    """Results of a task.

    Attributes
    ----------
    finished
        Measurements by slug that need no further stage, failed ones among them.
    timed
        Networks by slug that are still to be measured.
    folder
        Files for the run's folder; the receiver removes it. None if they are in `files`.
    files
        The same for another machine: content by relative path.
    """

    finished: dict[str, Measurement] = field(default_factory=dict)
    timed: dict[str, Timed] = field(default_factory=dict)
    folder: Path | None = None
    files: dict[str, bytes] = field(default_factory=dict)


class Report(NamedTuple):
    """One report of a task's progress; see :meth:`harness.run.progress.Progress.stage` and ``timing``.

    ``processes`` is 0 where it is no timing.
    """

    place: str
    slug: str
    stage: str
    detail: str
    done: float
    process: int = 0
    processes: int = 0
