"""The measurement of one submission before scoring. It is the unit that is stored and resumed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from harness.results.record import Backend, CountedBy, Record, Status
from harness.results.schema import Ceilings, ErrorInfo, QualityFigures, Reparam

TOO_LONG = "takes too long"
"""Part of the source of counts of which something was left out for lack of time."""


class ImageQuality(QualityFigures):
    """Quality of one upscaled image, in the run's convention and in additional ones."""

    image: str
    """Name without extension. In a run with several data sets, their label and a slash precede it in tables."""
    dataset: str = ""
    """Label of the data set in a run with several; empty in stored measurements."""
    conventions: dict[str, QualityFigures] = {}
    """Quality in additional conventions, by the convention's name."""


class Layer(Record):
    """One layer of the timed form."""

    name: str
    """Path of the module in the network; empty for the network itself."""
    type: str
    """Class of the module."""
    kernel: list[int] = []
    """Height and width of the kernel; empty if the layer has none."""
    settings: str = ""
    """Settings that differ from the defaults, such as ``stride 2, groups 12``."""
    in_channels: int | None = None
    """Channels, or features of a linear layer; None where it has none or was not called."""
    out_channels: int | None = None
    output_shape: list[int] = []
    """N, C, H, W at the track's size; empty if unknown."""
    params: int
    """Number of elements of its own parameters; a shared tensor is counted in the first layer that has it."""
    macs: int
    """Multiply-accumulates of all calls in one forward pass at the track's size."""
    calls: int
    """Times that it is called in a forward pass; 0 where its parent uses the weights in another way, or not at all."""


class GpuReading(Record):
    """State of an accelerator at one moment."""

    at_s: float
    """Time of the reading, seconds since the start of the timing."""
    clock_mhz: int
    """SM clock, MHz."""
    temperature_c: int
    """Temperature, degrees Celsius."""
    slowed_by: list[str] = []
    """Reasons for throttling, such as ``power cap`` or ``hardware thermal slowdown``."""


class RoundTimes(Record):
    """One network's turn in an interleaved timing."""

    number: int
    """Index of the round, from 0; equal for all networks of one ``session`` that took turns in the same round."""
    calls: int
    """Number of samples in this turn. Samples are stored in order of turns."""
    process: int = 0
    """Index of the network's process, from 0; each is a new start of the worker."""
    anchor_ms: tuple[float, float]
    """Times of the anchor network's turns directly before and after, milliseconds per call."""
    card: GpuReading | None = None
    """State of the accelerator directly after the turn; None if unknown."""
    energy_j: float | None = None
    """Energy of the device during the turn, with the preparation of its frames, joules; None if unknown."""


class RemainingWork(Record):
    """The part of an interleaved timing that was not done when the run was stopped."""

    processes: int
    """Number of processes of the network that are still to be timed."""
    next_round: int
    """First free round index, above those of all rounds so far."""


class TimingRecord(Record):
    """All individual calls of a timing, without any aggregation."""

    clock: str
    """Name of the clock."""
    warmup: list[tuple[float, float]] = []
    """Warm-up calls: start in seconds since the start of the timing, duration in milliseconds."""
    samples: list[tuple[float, float]] = []
    """Timed calls: start in seconds since the start of the timing, duration in milliseconds."""
    note: str | None = None
    turn_statistic: Literal["mean", "median"] = "mean"
    """Statistic that summarizes the calls of one turn, also for the anchor's turns in ``rounds``."""
    session: str = ""
    """Identifier of the interleaved timing; empty if the network was timed alone."""
    anchor: str = ""
    """Identifiers of the anchor's processes, joined with ``+``; empty if the network was timed alone."""
    rounds: list[RoundTimes] = []
    """Turns of an interleaved timing; their calls are those of ``samples``, in order."""
    card: list[GpuReading] = []
    """State of the accelerator directly before and after a timing without rounds; empty if unknown."""
    busy: float | None = None
    """Fraction of all cores that other programs used directly before the timing, in [0, 1]."""
    place: str = ""
    """Machine and device of a run with several; empty in a run with one."""
    span: tuple[float, float] | None = None
    """Begin and end of the time for which nothing else ran on the machine, seconds of Unix time; None in a run with one
    device."""
    remaining_work: RemainingWork | None = None
    """Remaining work of a stopped run; None if the timing is complete."""


class LoadPart(Record):
    """Results of loading a network."""

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
    """Results of counting, for the form that is timed, at the track's size."""

    params: int | None = None
    macs: int | None = None
    activations: int | None = None
    macs_ntire23: int | None = None
    incomplete_ops: list[str] = []
    macs_source: str | None = None
    counted_by: CountedBy = ""
    """Who vouches for ``params``, ``macs`` and ``activations``."""
    layers: list[Layer] = []
    """Layer by layer; empty if the network could not be traced."""
    bytes_moved: int | None = None
    """Bytes that the operators of one forward pass read and write, in the timed precision."""
    operators: int | None = None
    """Operators of one forward pass."""


class TimingPart(Record):
    """Results of timing."""

    timing: TimingRecord | None = None
    peak_memory_bytes: int | None = None
    """Peak memory of one forward pass at the track's size."""
    ceilings: Ceilings | None = None
    """What the device did at best in the run that measured this."""
    warnings: list[str] = []
    """What a reader of the whole run must know of this submission."""


class RecallFigures(Record):
    """Gains over bicubic on parts of the images and on variants of these parts, which no network has seen."""

    variants: int
    """Number of variants."""
    gain_db: float | None = None
    """Mean gain on the parts of the images, dB; None without variants."""
    variant_gain_db: float | None = None
    """Mean gain on the variants: shifted, flipped or rotated, and degraded anew."""


class QualityPart(Record):
    """Results of upscaling the data set."""

    images: list[ImageQuality] = Field(default_factory=list)
    float32_psnr_rgb: float | None = None
    """Mean RGB PSNR of the same network in float32, if another precision was timed."""
    further_images: dict[str, list[ImageQuality]] = {}
    """Quality on further data sets, by the data set's fingerprint."""
    recall: RecallFigures | None = None
    """What the check for recalled images found; None in measurements of earlier releases."""


class Measurement(LoadPart, CountPart, TimingPart, QualityPart):
    """All results of one submission. Results of stages that were not reached are None or empty."""

    fingerprint: str
    """Hash of all that the figures depend on."""
    created: str
    """ISO 8601 with time zone."""
    status: Status
    error: ErrorInfo | None = None
    build_s: float | None = None
    """Seconds that the backend took to build what it calls."""
    stage_seconds: dict[str, float] = {}
    """Seconds that each stage of the run took for it, such as ``load`` and ``time``."""
    reparam: Reparam | None = None

    def updated(self, part: LoadPart | CountPart | TimingPart | QualityPart) -> Measurement:
        """Return the measurement with what one stage found out; fields that the part does not set stay."""
        # Validated again, unlike with `model_copy`, which takes a value of any type.
        return Measurement.model_validate(
            {**dict(self), **{name: getattr(part, name) for name in part.model_fields_set}}
        )

    @classmethod
    def empty(cls, fingerprint: str, backend: Backend = "eager") -> Measurement:
        """Return the measurement of a submission of which nothing is known yet."""
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(fingerprint=fingerprint, created=created, status="ok", backend=backend)
