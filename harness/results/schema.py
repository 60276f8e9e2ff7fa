"""What a run writes to ``results.json``: the contract between the harness and every tool that reads it.

The docstring under each attribute becomes its description in the published JSON Schema. A status decides which
fields may exist: a row that failed has no score and no rank, by construction.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ValidationInfo, field_validator, model_validator

from harness.results.backend_rows import BackendRow
from harness.results.record import Backend, CountedBy, Interval, Record, Status
from harness.results.run_info import (
    DatasetInfo,
    DeviceInfo,
    Disturbance,
    ProcessSpreadInfo,
    ProtocolInfo,
    RunInfo,
    TrackInfo,
)
from harness.text import printable, single_line, summary_line

SCHEMA_VERSION = 2
CUT_SHORT = "the limit of the search"
"""Part of the note on regions that a collapse left out for lack of time."""
FormName = Literal["loaded", "author", "automatic"]
ReparamPolicy = Literal["author", "auto", "none"]
# Characters; both texts may come from submitted code and be of any length.
_MAX_MESSAGE = 10_000
_MAX_LOG = 20_000


class QualityFigures(Record):
    """Quality by one convention."""

    psnr_rgb: float
    """dB, at most 100."""
    psnr_y: float
    """dB, at most 100."""
    ssim_rgb: float
    ssim_y: float


class ErrorInfo(Record):
    """Why a row has no score."""

    stage: str
    """``load``, ``reparameterize``, ``count``, ``time``, ``upscale``..."""
    type: str
    """Class of the exception or of the end, such as ``ImportError``, ``Timeout``, ``Crash``."""
    message: str
    """Why, never blank. Control characters are replaced."""
    log: str = ""
    """The last lines that the submission printed, or the traceback of the harness if that failed to handle it."""

    @field_validator("stage", "type", "message", mode="after")
    @classmethod
    def _visible(cls, text: str, info: ValidationInfo) -> str:
        """Return text that every reader can show: submitted code may raise an exception without name and message."""
        # A message may have several lines, stage and type are one line.
        shown = printable(text, _MAX_MESSAGE)
        if info.field_name == "message":
            return shown if shown.strip() else "no message"
        return single_line(shown, 100) or "unknown"

    @field_validator("log", mode="after")
    @classmethod
    def _printable(cls, log: str) -> str:
        return printable(log, _MAX_LOG, keep_end=True)

    @property
    def first_line(self) -> str:
        """The first line of the message that is not blank, with the first entries of a list of mistakes below it."""
        return summary_line(self.message)


class Runtime(Record):
    """Time of one forward pass at the track's size."""

    median: float
    """Milliseconds."""
    mean: float
    """Milliseconds."""
    ci: Interval
    """95 % interval of the statistic that the score uses, milliseconds; without a meaning if ``samples`` is 0."""
    p95: float
    """Milliseconds."""
    samples: int
    """Number of timed calls; 0 for a time that the authors state."""
    stable: bool
    """False where too few or too scattered samples were had to trust the figure. A stated time has none to judge."""
    note: str | None = None
    """What a reader must know, such as ``one call: it outlasts the time budget``."""

    @classmethod
    def stated(cls, milliseconds: float, note: str) -> Self:
        """Return a time that was not measured, which has no interval."""
        ends = milliseconds, milliseconds
        return cls(median=milliseconds, mean=milliseconds, ci=ends, p95=milliseconds, samples=0, stable=True, note=note)

    @property
    def is_measured(self) -> bool:
        """Whether there are timed calls, and with them an interval."""
        return self.samples > 0


class NetworkForm(Record):
    """One form of a network and what it costs, whether it was measured or not."""

    name: FormName
    """``loaded``: as the submission builds it; ``author``: converted by the author's method; ``automatic``: collapsed
    by the harness."""
    method: str
    """How it was made, as in ``Reparam.method``."""
    params: int
    macs: int | None = None
    """Multiply-accumulates of one forward pass at the track's size."""
    activations: int | None = None
    """Elements in the outputs of convolutions and matrix products."""
    max_abs_error: float | None = None
    """Largest difference of its output from that of the form as loaded, on [0, 1]; None for that form itself."""
    runtime_ms: float | None = None
    """Median of its calls where two forms were timed in turn to choose one of them, ms; not the time of a score."""


class Energy(Record):
    """Energy of one forward pass, of the whole card or of the processor's packages, idle power included."""

    joules: float
    """Joules per frame: the energy of all turns over the number of their calls."""
    ci: Interval
    """95 % interval, joules."""
    turns: int
    """Number of turns."""


class Reparam(Record):
    """What became of the training form."""

    method: str
    """``none``, ``author: switch_to_deploy``, ``automatic``..."""
    params_before: int
    params_after: int
    macs_before: int | None = None
    macs_after: int | None = None
    max_abs_error: float | None = None
    """Largest difference of the two forms' outputs on [0, 1], random and natural input, borders included."""
    notes: list[str] = []
    """Regions folded, and what was refused and why."""
    policy: ReparamPolicy | None = None
    """What the run asked for: ``author`` (the author's form), ``auto`` (collapsed by the harness where that is a gain)
    or ``none``; None in runs of earlier releases."""
    form: FormName | None = None
    """The form that was measured: its name in ``forms``."""
    reason: str = ""
    """Why this form was measured and not another one that is known."""
    forms: list[NetworkForm] = []
    """All forms that are known."""


class Ceilings(Record):
    """The best that the device did in this run, measured by the harness with the networks' threads and precision."""

    macs_per_s: float
    """Multiply-accumulates per second of a large matrix product or of a 3x3 convolution, whichever is faster."""
    bytes_per_s: float
    """Bytes read and written per second by one large copy."""
    launch_s: float
    """Seconds from one tiny operator to the next."""


class Roofline(Record):
    """How close one forward pass comes to the device's ceilings, and which of them bounds it."""

    bytes_moved: int
    """Bytes of one pass if every operator reads its inputs and writes its outputs once, in the timed precision."""
    operators: int
    """Operators of one pass that compute or copy."""
    macs_per_s: float
    """``macs`` over the runtime."""
    bytes_per_s: float
    """``bytes_moved`` over the runtime. It may exceed the ceiling for backends that fuse operators."""
    compute_fraction: float
    """``macs_per_s`` over the ceiling."""
    memory_fraction: float
    """``bytes_per_s`` over the ceiling."""
    launch_fraction: float | None
    """``operators`` times the ceiling's ``launch_s`` over the runtime; None if they are not launched one by one."""
    bound: Literal["compute", "memory", "launches"]
    """The largest of the three fractions."""
    ceilings: Ceilings


class Published(Record):
    """Figures that the model's authors claim, shown beside the measured ones."""

    params_k: float | None = None
    """Thousands of parameters."""
    macs_g: float | None = None
    """10^9 multiply-accumulates at the track's size, by the source's own counter."""
    runtime_ms: float | None = None
    psnr_val: float | None = None
    """RGB PSNR, dB, on the challenge's validation set."""
    psnr_test: float | None = None
    """RGB PSNR, dB, on the challenge's test set."""
    score: float | None = None
    source: str = ""
    note: str = ""
    """Why a figure differs from what the network as described has."""


class About(Record):
    """What a submission's manifest says of it, for readers. Nothing of it is checked."""

    description: str = ""
    authors: list[str] = []
    paper: str = ""
    """Title or URL."""
    code: str = ""
    """URL."""
    license: str = ""
    bibtex: str = ""


class Entry(Record):
    """One row of the leaderboard."""

    name: str
    team: str = ""
    kind: Literal["submission", "baseline"]
    status: Status
    error: ErrorInfo | None = None
    slug: str = ""
    """Folder-safe unique name, used for files that belong to the row."""
    fingerprint: str = ""
    """What the measurements depend on, as one hash."""
    notes: list[str] = []
    """Remarks for the reader: padded input, undeclared size limits, identical submissions."""
    reconstructed: bool = False
    """True where the layers were solved from published counts, not read in code."""
    isolation: str = ""
    """What the submission's process was confined by."""
    backend: Backend = "eager"
    """How the network was executed, for time and quality alike."""
    variant_of: str = ""
    """Slug of the same network's row on the run's first backend, in a run with several; empty for that row itself. A
    variant has no rank."""
    build_s: float | None = None
    """Seconds that the backend took to compile, export or record the network; no time contains them."""
    stage_seconds: dict[str, float] = {}
    """Seconds that each stage of the run took for it, such as ``load`` and ``time``; empty if unknown."""

    rank: int | None = None
    rank_range: tuple[int, int] | None = None
    """Best and worst rank that the measurements leave possible, 95 % confidence; None if unknown."""
    tied_with: list[str] = []
    """Slugs of ranked rows whose score does not differ significantly: a corrected p-value of 0.05 or more."""
    score: float | None = None
    score_ci: Interval | None = None
    score_log10: float | None = None
    """Decimal logarithm of the score, where scores may exceed the range of numbers; ``score`` ends at 1e300 there."""
    score_log10_ci: Interval | None = None
    """95 % interval of ``score_log10``, where ``score_ci`` ends at 0 and at 1e300; None in runs of earlier releases."""
    partial_scores: dict[str, float | None] = {}
    """Parts of the score by name, None where a part exceeds the range of numbers."""
    rank_sums: dict[str, int] = {}
    """Sums of ranks over several figures, by name of the sub-track."""
    partly_counted: list[str] = []
    """Figures in the score or in a sum of ranks that are only lower bounds; score and ranks are not exact then."""
    failed_gates: list[str] = []
    """Conditions of the track that the row misses, with its figures; such a row has no rank."""

    params: int | None = None
    """Parameters of the form that was timed."""
    macs: int | None = None
    """Multiply-accumulates of one forward pass at the track's size."""
    flops: int | None = None
    """Two per multiply-accumulate."""
    macs_ntire23: int | None = None
    """By the 2023 report's counter: convolution MACs plus one per output of a ReLU-family module."""
    activations: int | None = None
    """Elements in the outputs of convolutions and matrix products."""
    macs_source: str | None = None
    """How ``macs`` was obtained, and whether the cross-check agreed."""
    counted_by: CountedBy = ""
    """Who vouches for parameters and operations: ``process`` (the submission's own), ``graph`` (a process without its
    code, from the exported graph) or ``harness`` (no submitted code was executed); empty in older runs."""
    peak_memory_bytes: int | None = None
    size_bytes: int | None = None
    """Size of the file of weights as it was submitted; None where the manifest names none."""
    roofline: Roofline | None = None
    """Rates, shares of the device's ceilings, and what bounds the network."""
    incomplete_ops: list[str] = []
    """Operators that the counter could not see."""

    runtime_ms: Runtime | None = None
    fps: float | None = None
    energy: Energy | None = None
    """None where the device has no counter, or it may not be read."""

    psnr_rgb: float | None = None
    psnr_y: float | None = None
    ssim_rgb: float | None = None
    ssim_y: float | None = None
    datasets: dict[str, QualityFigures] = {}
    """Mean quality by the label of the data set, in a run with several; the figures above are means over them."""
    conventions: dict[str, QualityFigures] = {}
    """Mean quality by further conventions, see ``run.further_conventions``."""
    delta_psnr_bicubic: float | None = None
    """PSNR minus bicubic's, dB: the figure that the score uses, RGB unless the track scores Y."""
    precision_drop_db: float | None = None
    """RGB PSNR of float32 minus that of the timed precision, dB; None where float32 itself was timed."""
    reparam: Reparam | None = None
    published: Published | None = None
    about: About | None = None
    """What the submission says of itself; None in runs of earlier releases and without a manifest."""

    @property
    def ordered_score(self) -> float | None:
        """What rows are ordered and compared by: the score, or its logarithm where scores may exceed float64."""
        return self.score if self.score_log10 is None else self.score_log10

    @property
    def rank_low(self) -> int | None:
        """The best rank of `rank_range`."""
        return self.rank_range[0] if self.rank_range else None

    @property
    def rank_high(self) -> int | None:
        """The worst rank of `rank_range`."""
        return self.rank_range[1] if self.rank_range else None

    @model_validator(mode="after")
    def _status_decides(self) -> Self:
        if self.status == "ok" and self.error is not None:
            raise ValueError(f"{self.name}: a row with status 'ok' carries an error")
        if self.status != "ok" and self.error is None:
            raise ValueError(f"{self.name}: a row with status {self.status!r} must say why")
        # Checked whenever a row is made or read, so that no tool meets a failed row with a rank.
        if self.status != "ok" and (self.score is not None or self.rank is not None):
            raise ValueError(f"{self.name}: a row with status {self.status!r} has no score and no rank")
        return self


class PairComparison(Record):
    """The scores of two ranked rows, and whether they differ."""

    slugs: tuple[str, str]
    difference: float
    """Score of the first minus that of the second."""
    ci: Interval | None
    """95 % interval of the difference for this pair alone; None if there is only one image."""
    p_value: float
    """Two-sided, of the hypothesis that the scores are equal, for this pair alone."""
    corrected_p_value: float
    """The p-value corrected for the number of pairs by Holm's method."""


class Run(Record):
    """The whole of ``results.json``."""

    schema_version: Literal[2] = 2
    run: RunInfo
    track: TrackInfo
    dataset: DatasetInfo
    """What quality was measured on; a summary if there were several data sets."""
    datasets: list[DatasetInfo] = []
    """The data sets, if there were several."""
    device: DeviceInfo
    protocol: ProtocolInfo
    process_spread: ProcessSpreadInfo | None = None
    """What processes of one network differed by; None where each was timed in one, so that 1 % is assumed."""
    entries: list[Entry]
    comparisons: list[PairComparison] = []
    """Every pair of ranked rows; empty in runs of earlier releases."""
    backends: list[BackendRow] = []
    """Which backend each network should use, in a run with several."""
    foreign_load: float | None = None
    """Largest share of all cores that other programs used when a timing began, in [0, 1]; None if unknown."""
    disturbances: list[Disturbance] | None = None
    """What makes the times doubtful; empty for a quiet run, None in runs of earlier releases."""
    warnings: list[str] = []
    """What a reader of the whole run must know: the disturbances, plugins that failed."""

    @property
    def remarks(self) -> list[str]:
        """The warnings that are not about a disturbance."""
        disturbed = {one.sentence for one in self.disturbances or []}
        return [warning for warning in self.warnings if warning not in disturbed]


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of ``results.json``."""
    return Run.model_json_schema()
