"""What was measured of one submission, before anything is scored: the unit that is stored and resumed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from harness.results.schema import Backend, Ceilings, ErrorInfo, QualityFigures, Record, Reparam, Status


class ImageQuality(QualityFigures):
    """Quality of one upscaled image, by the run's own convention and by others."""

    image: str
    """Name without extension."""
    conventions: dict[str, QualityFigures] = {}
    """By the name of each further convention."""


class Layer(Record):
    """One layer of the form that was timed."""

    name: str
    """Path of the module in the network; empty for the network itself."""
    type: str
    """Class of the module."""
    kernel: list[int] = []
    """Height and width of the kernel, where it has one."""
    settings: str = ""
    """What differs from the plain case, such as ``stride 2, groups 12``."""
    in_channels: int | None = None
    """Channels, or features of a linear layer; None where it has none or was not called."""
    out_channels: int | None = None
    output_shape: list[int] = []
    """N, C, H, W at the track's size; empty where unknown."""
    params: int
    """Elements of its own parameters; a tensor that several layers share belongs to the first."""
    macs: int
    """Multiply-accumulates of all its calls in one forward pass at the track's size."""
    calls: int
    """Times that it is called in a forward pass; 0 where its parent uses the weights in another way, or not at all."""


class GpuReading(Record):
    """What an accelerator said of itself at one moment."""

    at_s: float
    """Seconds since the timing began."""
    clock_mhz: int
    """Clock of its multiprocessors."""
    temperature_c: int
    """Degrees Celsius."""
    slowed_by: list[str] = []
    """What held its clock down, such as ``power cap`` or ``hardware thermal slowdown``."""


class RoundTimes(Record):
    """One network's turn in an interleaved timing."""

    number: int
    """Which round, from 0; the same number is the same round for all networks of one ``session``."""
    calls: int
    """How many of the samples belong to it, in order."""
    process: int = 0
    """In which of the network's processes, from 0: each is a new start of the worker."""
    anchor_ms: tuple[float, float]
    """The anchor network's turn just before and just after, milliseconds a call."""
    card: GpuReading | None = None
    """The accelerator just after the turn; None where it does not tell."""


class RemainingWork(Record):
    """What a joint timing that was stopped had not done yet."""

    processes: int
    """How many more processes of the network were to be timed."""
    next_round: int
    """A number above those of all rounds so far."""


class TimingRecord(Record):
    """Every call of the timing, nothing summarised."""

    clock: str
    """What the milliseconds were read from."""
    warmup: list[tuple[float, float]] = []
    """Untimed calls: seconds since the start, milliseconds."""
    samples: list[tuple[float, float]] = []
    """Timed calls: seconds since the start, milliseconds."""
    note: str | None = None
    turn_statistic: Literal["mean", "median"] = "mean"
    """What the calls of one turn are taken together by, the anchor's in ``rounds`` as well."""
    session: str = ""
    """Name of the joint timing in which networks took turns; empty where this one was timed alone."""
    anchor: str = ""
    """Name of the anchor's process that it was timed beside, of several with ``+``; empty where it was timed alone."""
    rounds: list[RoundTimes] = []
    """The turns, where there were any: their samples are those of ``samples``, in order."""
    card: list[GpuReading] = []
    """The accelerator just before and just after a timing without rounds; empty where it does not tell."""
    busy: float | None = None
    """Share of all cores that others used just before the timing, 0 to 1."""
    remaining_work: RemainingWork | None = None
    """None where the timing is complete, as in all but what a stopped run leaves."""


class LoadPart(Record):
    """What loading a network finds out."""

    isolation: str = ""
    """What the submission's process was confined by."""
    backend: Backend = "eager"
    """How the network was executed."""
    has_weights: bool = True
    """False if the network has random weights: it has no quality and no score."""
    notes: list[str] = []
    """Remarks for the reader."""
    params: int | None = None
    """Parameters: of the network as loaded, later of the form that is timed."""


class CountPart(Record):
    """What counting a network finds out, of the form that is timed, at the track's size."""

    params: int | None = None
    macs: int | None = None
    activations: int | None = None
    macs_ntire23: int | None = None
    incomplete_ops: list[str] = []
    macs_source: str | None = None
    layers: list[Layer] = []
    """Layer by layer; empty if the network could not be traced."""
    bytes_moved: int | None = None
    """Bytes of one forward pass, operator by operator, in the timed precision."""
    operators: int | None = None
    """Operators of one forward pass."""


class TimingPart(Record):
    """What timing a network finds out."""

    timing: TimingRecord | None = None
    peak_memory_bytes: int | None = None
    """Peak memory of one forward pass at the track's size."""
    ceilings: Ceilings | None = None
    """What the device did at best in the run that measured this."""
    warnings: list[str] = []
    """What a reader of the whole run must know of this submission."""


class QualityPart(Record):
    """What upscaling the data set finds out."""

    images: list[ImageQuality] = Field(default_factory=list)
    float32_psnr_rgb: float | None = None
    """Mean RGB PSNR of the same network in float32, if another precision was timed."""


class Measurement(LoadPart, CountPart, TimingPart, QualityPart):
    """All that is known of one submission: what each stage found out. Stages that were not reached left no figures."""

    fingerprint: str
    """Hash of all that the figures depend on."""
    created: str
    """ISO 8601 with time zone."""
    status: Status
    error: ErrorInfo | None = None
    build_s: float | None = None
    """Seconds that the backend took to build what it calls."""
    reparam: Reparam | None = None

    def updated(self, part: LoadPart | CountPart | TimingPart | QualityPart) -> Measurement:
        """Return the measurement with what one stage found out; fields that the part does not set stay."""
        return Measurement.model_validate(
            {**dict(self), **{name: getattr(part, name) for name in part.model_fields_set}}
        )

    @classmethod
    def empty(cls, fingerprint: str, backend: Backend = "eager") -> Measurement:
        """Return the measurement of a submission of which nothing is known yet."""
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(fingerprint=fingerprint, created=created, status="ok", backend=backend)
