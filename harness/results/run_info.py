"""What the rows of a run have in common: its track, data set, device and protocol."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from harness.results.record import Backend, Record, Statistic


def _increases(values: Sequence[float]) -> bool:
    return all(one < other for one, other in pairwise(values))


def moment_of(created: str) -> datetime:
    """Return a stored date as a moment by which runs are ordered, wherever they were made.

    As texts, dates of other time zones, or of summer and winter time, have another order. What is no date comes first.
    """
    try:
        found = datetime.fromisoformat(created)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class RunInfo(Record):
    """Which run this is."""

    id: str
    """Name of the run's folder."""
    created: str
    """When the run began, ISO 8601 with time zone. A later one in its folder with the same results keeps this date."""
    harness_version: str
    """Version of the harness that measured."""
    command: str
    """The command line, so that a reader can repeat the run."""
    complete: bool = True
    """False where the run was interrupted before its last submission."""
    convention: str = "PSNR over the whole image; SSIM Gaussian 11x11, sigma 1.5, valid; Y BT.601 studio range"
    """The definition of the quality figures, in one sentence."""
    further_conventions: dict[str, str] = {}
    """Other conventions by which the same outputs were measured: name and definition in one sentence."""
    stage_seconds: dict[str, float] = {}
    """Seconds of the run's own stages: it waits for another run, or starts the anchor network."""


class ScoreTable(Record):
    """The score on a grid, for a track whose formula cannot be stored as an expression."""

    psnr: list[float]
    """The rows of the grid, dB, increasing: the figure that the track's ``metric`` names."""
    runtime_ms: list[float]
    """The columns of the grid, milliseconds, increasing."""
    scores: list[list[float | None]]
    """One list per PSNR; None where the formula is undefined. Six significant digits."""

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        # The number of rows, and the number of columns of each row.
        shapes = len(self.psnr), [len(row) for row in self.scores]
        if min(len(self.psnr), len(self.runtime_ms)) < 2 or shapes != (
            len(self.scores),
            [len(self.runtime_ms)] * shapes[0],
        ):
            raise ValueError("a table of scores has one score per PSNR and runtime, of each two or more")
        if not (_increases(self.psnr) and _increases(self.runtime_ms) and self.runtime_ms[0] > 0):
            raise ValueError("the grid of a table of scores increases, and its runtimes are positive")
        return self


class GateInfo(Record):
    """A condition for a rank."""

    figure: str
    """Name of the figure, such as ``psnr_test``."""
    least: float
    """Smallest value that passes, in the unit of the figure."""
    text: str
    """The condition in one line."""


class TrackInfo(Record):
    """The challenge whose rules were applied, with all that a report needs of them."""

    name: str
    """For example ``ntire23-x2``."""
    scale: int
    """Upscaling factor."""
    score_formula: str
    """The score, as a formula in words that a reader can type into a calculator."""
    bicubic_psnr: float
    """PSNR of bicubic, dB, that the score subtracts: RGB unless the track scores Y."""
    bicubic_source: Literal["measured", "published", "unknown"] = "measured"
    """Whether ``bicubic_psnr`` was measured in this run or is the challenge's constant; ``unknown`` where a stored run
    was scored by other rules and has no such figure, and ``bicubic_psnr`` is 0."""
    metric: Literal["psnr_rgb", "psnr_y"] = "psnr_rgb"
    """Which PSNR the score uses."""
    higher_is_better: bool = True
    """The direction of the score."""
    fps_bands: tuple[Annotated[float, Field(gt=0)], ...] = (24.0, 30.0, 60.0, 120.0)
    """Limits of the classes of speed that a report colours, frames per second, increasing."""
    title: str = ""
    """Of the challenge, for display."""
    source: str = ""
    """Where the formula was read, or what it was fitted to."""
    gates: list[GateInfo] = []
    """Conditions for a rank."""
    remarks: list[str] = []
    """Known misprints, and what of the rules the run does not follow."""
    score_expression: str | None = None
    """The score as an arithmetic expression of named figures, evaluated by `harness.tracks.expression`; None where the
    track's formula is an arbitrary function."""
    score_table: ScoreTable | None = None
    """The score around this run's figures where there is no expression; None where there is one."""

    @field_validator("fps_bands")
    @classmethod
    def _bands_increase(cls, limits: tuple[float, ...]) -> tuple[float, ...]:
        if not _increases(limits):
            raise ValueError("the limits of the classes of speed increase")
        return limits


class DatasetInfo(Record):
    """What the networks were given."""

    name: str
    images: int
    """Number of image pairs."""
    fingerprint: str
    """SHA-256 over names, pixels and degradation."""
    degradation: str
    """How LR was made from HR, in one line."""
    lr: str = ""
    """Where the LR images come from, in one line: the folder that holds them, or how the harness made them."""
    hr_cut: str = ""
    """How HR images were cut to the size of given LR images, in one line; empty if none was."""
    image_names: list[str] = []
    """Names in order, without extension."""
    label: str = ""
    """Role of the data set in the track, or a word made from its name; empty for a run's only data set."""
    bicubic_psnr: float | None = None
    """PSNR of bicubic on it, dB: the figure that the track's ``metric`` names; None in runs of one data set."""


class DeviceInfo(Record):
    """Where the networks ran."""

    kind: str
    """``cpu``, ``cuda``, ``xpu``, ``mps``..."""
    name: str
    """Model of the processor or card."""
    torch: str
    """Version of torch."""
    threads: int
    """Threads that a network may use on the CPU."""
    cores: list[int] = []
    """Logical processors that networks are bound to; empty on an accelerator and where the system cannot bind."""
    multithreading: bool | None = None
    """Whether two usable logical processors share a core."""
    python: str = ""
    platform: str = ""
    memory_bytes: int | None = None
    """Main memory of the machine, or the card's memory."""
    driver: str | None = None
    """Version of an accelerator's driver, and of the CUDA or ROCm that torch was built for."""
    versions: dict[str, str] = {}
    """Other packages whose version can change a number: Pillow and its JPEG library, numpy, numba."""


class ProtocolInfo(Record):
    """How time was measured."""

    name: str
    input_shape: tuple[int, int, int, int]
    """N, C, H, W of the timed input."""
    output_shape: tuple[int, int, int, int]
    """N, C, H, W of the timed output."""
    precision: Literal["fp32", "fp16", "bf16"]
    warmup: str
    """Warm-up rule in words."""
    repeats: str
    """Rule for the number of timed calls, in words."""
    statistic: Statistic
    """Which statistic of the samples the score uses."""
    clock: str
    """Device events or the monotonic clock."""
    backend: Backend = "eager"
    """How the networks are executed; backends are never mixed in one ranking."""
    further_backends: list[Backend] = []
    """Backends that were measured besides, in rows without a rank; see ``backends`` of the run."""
    time_budget_s: float | None = None
    """Seconds that a model's timing may take."""
    processes: int = 1
    """Largest number of processes in which a network is timed, one after the other."""


class ProcessSpreadInfo(Record):
    """What processes that ran the same network differed by, estimated from all networks of the run."""

    relative: float
    """Standard deviation of their time in anchors, as a fraction."""
    degrees: int
    """Of freedom of it: processes less networks."""
    paired_relative: float | None = None
    """The same beside processes of other networks in the same rounds, where what hits all alike drops out; None where
    no two networks were timed together in several processes, so that 1 % is assumed."""
    paired_degrees: int | None = None
    """Of freedom of that."""


class Disturbance(Record):
    """Something that makes the times of a run doubtful."""

    kind: Literal["load", "throttling", "spread", "unsettled"]
    """Other programs' load, a throttled card, processes of one network that differ, networks that did not settle."""
    text: str
    """What happened, one sentence with figures."""
    advice: str
    """What to do about it, one sentence."""

    @property
    def sentence(self) -> str:
        """Both sentences, as ``warnings`` has them."""
        return f"{self.text} {self.advice}"
