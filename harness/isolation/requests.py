"""Schemas of the requests that the controller sends to a worker and of the replies that it accepts.

Arrays are sent next to these models, not as fields. Every field of a reply is bounded, because a worker may run
submitted code that sends anything.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.results.record import Backend, Colour
from harness.results.schema import FormName

Precision = Literal["fp32", "fp16", "bf16"]
Inputs = Literal["reused", "fresh", "dataset"]
Count = Annotated[int, Field(ge=0, le=1 << 62)]
Params = Annotated[int, Field(ge=0, le=1 << 40)]
"""Parameters: at most what fills four terabytes."""
Macs = Annotated[int, Field(ge=0, le=10**18)]
"""Multiply-accumulates of one forward pass: at most what the fastest accelerators take a quarter of an hour for."""
Sides = Annotated[list[Count], Field(max_length=8)]
ShortText = Annotated[str, Field(max_length=500)]
Text = Annotated[str, Field(max_length=20_000)]
Seconds = Annotated[float, Field(gt=0)]
ANALYSIS_LIMIT_S = 30.0
"""Time after which the search for an inference form ends by default, and likewise a count of operations, seconds."""


class Body(BaseModel):
    """Base of all message bodies: immutable, no unknown keys, no type conversion, finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def path_to_text(path: Path) -> str:
    """Encode a path for JSON. Paths are arbitrary bytes on Linux and need not be valid UTF-8."""
    return quote_from_bytes(os.fsencode(path))


def path_of_text(text: str) -> Path:
    """Decode the output of :func:`path_to_text`."""
    return Path(os.fsdecode(unquote_to_bytes(text)))


class LoadRequest(Body):
    """Build the network."""

    root: str
    """Folder of the submission as the worker sees it, encoded by `path_to_text`."""
    factory: str
    scale: Annotated[int, Field(ge=1, le=16)]
    weights: str | None
    """Checkpoint relative to ``root``; None if the factory needs none or none exists."""
    weights_key: str | None = None
    """Name of the state dict to load from the checkpoint; None to prefer averaged weights."""
    random_weights: bool
    """Whether weights are missing, so that the network is measured with a seeded random initialization."""
    hook: str | None
    """Name of the author's reparameterization method; None to try the usual names."""
    value_range: Annotated[float, Field(gt=0)]
    size_multiple: Annotated[int, Field(ge=1, le=1024)]
    device: str
    precision: Precision
    threads: Annotated[int, Field(ge=1)]
    backend: Backend = "eager"
    """How the network is executed."""
    strict: bool = False
    """Flush the accelerator's cache before each timed call, and include a copy of the output in the timed window."""
    trust_pickle: bool = False
    """Execute code in a pickled checkpoint."""
    has_manifest: bool = True
    """Whether a manifest describes the submission; otherwise missing settings are determined from the network."""
    requires: list[str] = []
    """Requirement strings of the manifest."""
    analysis_limit_s: Seconds = ANALYSIS_LIMIT_S
    """Seconds after which the search for an inference form ends, and likewise a count of operations."""
    alternatives: list[str] = []
    """Further factories, tried if the checkpoint does not fit the network of ``factory``."""
    kwargs: dict[str, Any] = {}
    """Arguments of the factory; the text ``"scale"`` stands for the scale."""
    folder: str = ""
    """Folder below ``root`` from which modules are imported."""
    output: int | str | None = None
    """Which element of the network's output is the image; None to determine it."""
    colour: Colour | None = None
    """Colour space of the network; None for RGB, unless the network takes one channel."""
    seed: Count = 0


class CheckRequest(Body):
    """Check the network as loaded against the submission contract, on small inputs."""


class FindingReply(Body):
    """A ``harness.submissions.finding.Finding``."""

    level: Literal["ok", "warn", "error"]
    what: Text
    hint: Text = ""


class CheckReply(Body):
    """Findings, in the order of the checks."""

    findings: Annotated[list[FindingReply], Field(max_length=50)]


class ReparameterizeRequest(Body):
    """Convert the training form into the inference form. Arrays: uint8 frames on which both forms are compared."""

    automatic: bool = True
    """Whether to collapse automatically after the author's method."""
    allow_border_error: bool = False
    """Also accept a collapse whose output differs at the image border."""
    regions: list[str] | None = None
    """The only regions that are collapsed, from the reply of an earlier process; None for all."""
    sizes: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = []
    """Heights and widths of the images for which the network is used; forms are compared on parts of such images."""
    budget_s: Seconds | None = None
    """Seconds after which the automatic collapse gives up and leaves the network as it is; None for no limit."""


class UseFormRequest(Body):
    """Measure one of the forms that the reparameterization made."""

    form: FormName


class ExportRequest(Body):
    """Export the inference form as a new submission."""

    name: ShortText
    """Name to show on the leaderboard."""

    onnx: bool = False
    """Whether to write an ONNX model as well."""


class ExportReply(Body):
    """Relative paths of the files. Arrays: their contents, uint8, 1-D."""

    paths: Annotated[list[ShortText], Field(max_length=8)]


class GraphRequest(Body):
    """Export the timed form as a graph, ``torch.export``. The reply has one array: the file's bytes, uint8, 1-D."""


class CountRequest(Body):
    """Count operations for one input shape (N, C, H, W)."""

    input_shape: Annotated[list[int], Field(min_length=4, max_length=4)]
    form: FormName | None = None
    """Form to count, without its layers and its traffic; None for the timed form."""


class CeilingsRequest(Body):
    """Measure the peak rates of the device. Sent only to workers that run the harness's own network."""


class CeilingsReply(Body):
    """See ``harness.results.schema.Ceilings``."""

    macs_per_s: Annotated[float, Field(gt=0)]
    bytes_per_s: Annotated[float, Field(gt=0)]
    launch_s: Annotated[float, Field(gt=0)]


class PrepareRequest(Body):
    """Prepare the network for its backend: compile, export or record it."""

    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    """Height and width of a frame."""
    main: bool
    """Whether this is the size that will be timed."""
    call: bool = True
    """Whether to run a forward pass; if not, the network is only moved to the device."""


class TimeRequest(Body):
    """Time forward passes. Arrays: frames, H x W x 3, uint8."""

    warmup: Count
    repeats: Annotated[int, Field(ge=1)]
    min_repeats: Annotated[int, Field(ge=1)]
    budget_s: Annotated[float, Field(gt=0)] | None
    inputs: Inputs = "fresh"
    """``fresh``: shift the frames so that no input repeats; ``reused``: first frame only; ``dataset``: each once."""


class UpscaleRequest(Body):
    """Return the output of the last timed call as an image.

    Frames are upscaled by a `TimeRequest` of one call. Which calls are asked for their image is not known to the worker
    before they are made.
    """


class ReleaseRequest(Body):
    """Free the last output while the worker has no frame: what is called then has nothing to work on."""


class MemoryRequest(Body):
    """Measure the peak memory of one forward pass."""

    size: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """Height and width of the frame; None for the last timed size."""


class GrowHeapRequest(Body):
    """Let the heap grow before the first call, so that the call does not wait for pages of memory."""

    size_bytes: Annotated[int, Field(ge=0, lt=1 << 48)]
    """Memory that the network's calls will use, about."""


class LoadReply(Body):
    """Properties of the loaded network."""

    value_range: Annotated[float, Field(gt=0)]
    """Value of white that the network is measured with: the manifest's, or the one determined without a manifest."""
    params_before: Params
    """Parameters of the network as built, before any reparameterization."""
    size_multiple: Annotated[int, Field(ge=1, le=1024)]
    """Input sides are padded to a multiple of this, and the output is cropped accordingly."""
    weights: bool
    """False if the network has random weights, because the submission has none for this scale."""
    takes_luma: bool = False
    """Whether the network upscales Y alone, so that Cb and Cr are those of bicubic interpolation."""
    backend: Backend = "eager"
    """The backend in use. It differs from the requested one for an ONNX file, which ONNX Runtime always executes."""
    notes: Annotated[list[ShortText], Field(max_length=100)] = []


class FormReply(Body):
    """A ``harness.results.schema.NetworkForm`` that is not counted yet."""

    name: FormName
    method: ShortText
    params: Params
    max_abs_error: Annotated[float, Field(ge=0)] | None = None


class ReparamReply(Body):
    """Result of the reparameterization; see ``harness.results.schema.Reparam``."""

    method: ShortText
    params_before: Params
    params_after: Params
    macs_before: Macs | None = None
    macs_after: Macs | None = None
    max_abs_error: Annotated[float, Field(ge=0)] | None = None
    notes: Annotated[list[Text], Field(max_length=1000)] = []
    forms: Annotated[list[FormReply], Field(max_length=3)] = []
    regions: Annotated[list[ShortText], Field(max_length=10_000)] = []
    """Names of the last nodes of the collapsed regions."""


class LayerReply(Body):
    """A ``harness.results.measurement.Layer`` as a worker sends it, with limits that a stored one need not state."""

    name: ShortText
    type: ShortText
    kernel: Sides
    settings: ShortText
    in_channels: Count | None
    out_channels: Count | None
    output_shape: Sides
    params: Params
    macs: Macs
    calls: Count


class CountReply(Body):
    """Operations of one forward pass; see ``harness.complexity.count.Complexity``."""

    params: Params
    macs: Macs | None = None
    activations: Macs | None = None
    macs_ntire23: Macs | None = None
    incomplete_ops: Annotated[list[ShortText], Field(max_length=1000)] = []
    source: ShortText = ""
    note: ShortText = ""
    bytes_moved: Count | None = None
    operators: Count | None = None
    layers: Annotated[list[LayerReply], Field(max_length=2000)] = []
    """One entry per layer; empty if not requested or if the network cannot be traced."""


class PrepareReply(Body):
    """Duration of the preparation, including the first forward pass."""

    seconds: Annotated[float, Field(ge=0, le=1e9)]


class TimeReply(Body):
    """Raw samples of the timed calls."""

    samples_ms: Annotated[list[Annotated[float, Field(ge=1e-4, le=1e9)]], Field(min_length=1, max_length=100_000)]
    clock: ShortText
    at_s: Annotated[list[Annotated[float, Field(ge=0)]], Field(max_length=100_000)]
    """Start of each timed call, seconds since the start of the measurement."""
    warmup_ms: Annotated[list[Annotated[float, Field(ge=1e-4, le=1e9)]], Field(max_length=1000)] = []
    warmup_at_s: Annotated[list[Annotated[float, Field(ge=0)]], Field(max_length=1000)] = []
    warmup_calls: Count = 0
    alarms: Count = 0
    """Number of calls in which device events and host clock disagree."""
    note: ShortText | None = None
    """Remark about the samples, shown in the report."""
    varied: Annotated[list[Annotated[list[Count], Field(max_length=5)]], Field(max_length=101_000)] = []
    """How the frame of each call was varied, warm-up included; see `harness.timing.frames.read_variations`."""
    # The bounds of fields that the controller sets allow only their defaults, so that a worker cannot send them.
    variations: Annotated[list[Any], Field(max_length=0)] = []
    """The same as `harness.timing.frames.Variation`, None for a frame as it was sent. Set by the controller."""
    wall_s: Annotated[float, Field(ge=0)] = 0.0
    """Duration of the whole request on the controller's clock, seconds. Set by the controller."""
    delay_s: Annotated[float, Field(ge=0, le=0)] = 0.0
    """How long other programs may have delayed the request, seconds. Set by the controller."""
    marked_ms: Annotated[list[float], Field(max_length=0)] = []
    """Durations of the calls between the marks that the controller saw, milliseconds; empty if unknown. Set by it."""
    strips: Annotated[list[Any], Field(max_length=0)] = []
    """`harness.timing.strips.Strips` of each call, warm-up included. Set by the controller."""

    @model_validator(mode="after")
    def _one_time_for_each_sample(self) -> Self:
        if len(self.at_s) != len(self.samples_ms):
            raise ValueError(f"{len(self.samples_ms)} samples but {len(self.at_s)} times")
        if len(self.warmup_at_s) != len(self.warmup_ms):
            raise ValueError(f"{len(self.warmup_ms)} warm-up calls but {len(self.warmup_at_s)} times")
        return self


class MemoryReply(Body):
    """Peak memory of one forward pass beyond what is allocated before it, bytes; None if unknown."""

    peak_bytes: Count | None


class EmptyReply(Body):
    """Acknowledgement without fields."""


class ErrorReply(Body):
    """An exception in the worker."""

    stage: ShortText
    type: ShortText
    message: Text
    traceback: Text = ""


REQUESTS: dict[str, type[Body]] = {
    "load": LoadRequest,
    "check": CheckRequest,
    "reparameterize": ReparameterizeRequest,
    "use_form": UseFormRequest,
    "export": ExportRequest,
    "graph": GraphRequest,
    "count": CountRequest,
    "ceilings": CeilingsRequest,
    "prepare": PrepareRequest,
    "time": TimeRequest,
    "upscale": UpscaleRequest,
    "release": ReleaseRequest,
    "memory": MemoryRequest,
    "grow_heap": GrowHeapRequest,
}
