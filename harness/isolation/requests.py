"""The requests that the controller makes of a worker, and the replies that it accepts, field by field.

Arrays travel beside these models, never in them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.results.schema import Backend

Precision = Literal["fp32", "fp16", "bf16"]
Inputs = Literal["reused", "fresh", "dataset"]
Count = Annotated[int, Field(ge=0, le=1 << 62)]
Sides = Annotated[list[Count], Field(max_length=8)]
ShortText = Annotated[str, Field(max_length=500)]
Text = Annotated[str, Field(max_length=20_000)]


class Body(BaseModel):
    """Fields of one message: immutable, no unknown key, no conversion between types, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def path_to_text(path: Path) -> str:
    """Return a path as JSON can carry it, whatever bytes it is made of."""
    return quote_from_bytes(os.fsencode(path))


def path_of_text(text: str) -> Path:
    """Return the path that `path_to_text` was given."""
    return Path(os.fsdecode(unquote_to_bytes(text)))


class LoadRequest(Body):
    """Build the network."""

    root: str
    """Folder of the submission as the worker sees it, from `path_to_text`."""
    factory: str
    scale: Annotated[int, Field(ge=1, le=16)]
    weights: str | None
    """Checkpoint relative to ``root``; None where the factory needs none or none is there."""
    random_weights: bool
    """True where weights are missing: the network is measured with a seeded random initialisation."""
    hook: str | None
    """The author's method that reparameterizes; None to look for the usual names."""
    value_range: Annotated[float, Field(gt=0)]
    size_multiple: Annotated[int, Field(ge=1, le=1024)]
    device: str
    precision: Precision
    threads: Annotated[int, Field(ge=1)]
    backend: Backend = "eager"
    """How the network is executed."""
    strict: bool = False
    """Flush the accelerator's cache before each timed call, and stop the clock when the output is copied."""
    trust_pickle: bool = False
    """Execute the code in a checkpoint's pickle."""
    seed: Count = 0


class ReparameterizeRequest(Body):
    """Turn the training form into the inference form; the arrays are uint8 frames for the proof."""

    allow_border_error: bool = False
    """Also collapse what is equal in the interior of the image only."""


class ExportRequest(Body):
    """Write the inference form as a submission of its own."""

    name: ShortText
    """What the leaderboard is to show."""

    onnx: bool = False
    """Whether an ONNX model is written beside."""


class ExportReply(Body):
    """Relative paths of the files, whose bytes are the arrays."""

    paths: Annotated[list[ShortText], Field(max_length=8)]


class CountRequest(Body):
    """Count operations for one input shape N, C, H, W."""

    input_shape: Annotated[list[int], Field(min_length=4, max_length=4)]
    original: bool = False
    """True for the network as it was loaded, False for the form that is timed."""


class CeilingsRequest(Body):
    """Measure what the device does at best; asked of the harness's own network, never of a submission."""


class CeilingsReply(Body):
    """See ``harness.results.schema.Ceilings``."""

    macs_per_s: Annotated[float, Field(gt=0)]
    bytes_per_s: Annotated[float, Field(gt=0)]
    launch_s: Annotated[float, Field(gt=0)]


class PrepareRequest(Body):
    """Bring the network into its backend: compile, export or record it."""

    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    """Height and width of a frame."""
    main: bool
    """Whether it is the size that will be timed."""
    call: bool = True
    """Whether to call it; else it is only brought to the device."""


class TimeRequest(Body):
    """Time forward passes; the arrays are the uint8 frames."""

    warmup: Count
    repeats: Annotated[int, Field(ge=1)]
    min_repeats: Annotated[int, Field(ge=1)]
    budget_s: Annotated[float, Field(gt=0)] | None
    inputs: Inputs = "fresh"
    """Whether the frames are shifted so that no call sees one again, the first is reused, or each is used once."""
    keep: bool = True
    """Whether the last output is copied and read, to be asked for; on an accelerator `strict` does it always."""


class OutputRequest(Body):
    """Return a part of what the last timed call gave, as it was when its time was taken: 3 x H x W, float32."""

    top: Count
    left: Count
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


class UpscaleRequest(Body):
    """Upscale the one array, a uint8 frame."""


class MemoryRequest(Body):
    """Measure the peak memory of one forward pass."""

    size: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    """Height and width of the frame; None for the size that was timed last."""


class LoadReply(Body):
    """What was loaded."""

    params_before: Count
    """Parameters of the network as built, before any reparameterization."""
    size_multiple: Annotated[int, Field(ge=1, le=1024)]
    """The frame's sides are padded to a multiple of this before the network, and the output cropped."""
    weights: bool
    """False where the network has random weights because the submission brings none for this scale."""
    backend: Backend = "eager"
    """How the network is executed: an ONNX file by ONNX Runtime, whichever backend was asked for."""
    notes: Annotated[list[ShortText], Field(max_length=100)] = []


class ReparamReply(Body):
    """What became of the training form; see ``harness.results.schema.Reparam``."""

    method: ShortText
    params_before: Count
    params_after: Count
    macs_before: Count | None = None
    macs_after: Count | None = None
    max_abs_error: Annotated[float, Field(ge=0)] | None = None
    notes: Annotated[list[Text], Field(max_length=1000)] = []


class LayerReply(Body):
    """A ``harness.results.measurement.Layer`` as a worker sends it, with limits that a stored one need not state."""

    name: ShortText
    type: ShortText
    kernel: Sides
    settings: ShortText
    in_channels: Count | None
    out_channels: Count | None
    output_shape: Sides
    params: Count
    macs: Count
    calls: Count


class CountReply(Body):
    """Operations of one forward pass; see ``harness.complexity.count.Complexity``."""

    params: Count
    macs: Count | None = None
    activations: Count | None = None
    macs_ntire23: Count | None = None
    incomplete_ops: Annotated[list[ShortText], Field(max_length=1000)] = []
    source: ShortText = ""
    bytes_moved: Count | None = None
    operators: Count | None = None
    layers: Annotated[list[LayerReply], Field(max_length=2000)] = []
    """Layer by layer; empty where it was not asked for or the network cannot be traced."""


class PrepareReply(Body):
    """How long the backend took, its first call included."""

    seconds: Annotated[float, Field(ge=0, le=1e9)]


class TimeReply(Body):
    """Raw samples of the timed calls."""

    samples_ms: Annotated[list[Annotated[float, Field(ge=1e-4, le=1e9)]], Field(min_length=1, max_length=100_000)]
    clock: ShortText
    at_s: Annotated[list[Annotated[float, Field(ge=0)]], Field(max_length=100_000)]
    """When each timed call began, seconds since the measurement began."""
    warmup_ms: Annotated[list[Annotated[float, Field(ge=1e-4, le=1e9)]], Field(max_length=1000)] = []
    warmup_at_s: Annotated[list[Annotated[float, Field(ge=0)]], Field(max_length=1000)] = []
    warmup_calls: Count = 0
    alarms: Count = 0
    """Calls in which the device's events and the host's clock disagree."""
    note: ShortText | None = None
    """What a reader must know about the samples."""
    wall_s: Annotated[float, Field(ge=0)] = 0.0
    """Seconds that the whole request took by the controller's clock."""

    @model_validator(mode="after")
    def _one_time_for_each_sample(self) -> Self:
        if len(self.at_s) != len(self.samples_ms):
            raise ValueError(f"{len(self.samples_ms)} samples but {len(self.at_s)} times")
        if len(self.warmup_at_s) != len(self.warmup_ms):
            raise ValueError(f"{len(self.warmup_ms)} calls to warm up but {len(self.warmup_at_s)} times")
        return self


class MemoryReply(Body):
    """Peak memory of one forward pass above what is there before it, bytes; None where it is unknown."""

    peak_bytes: Count | None


class EmptyReply(Body):
    """Done."""


class ErrorReply(Body):
    """An exception in the worker."""

    stage: ShortText
    type: ShortText
    message: Text
    traceback: Text = ""


REQUESTS: dict[str, type[Body]] = {
    "load": LoadRequest,
    "reparameterize": ReparameterizeRequest,
    "export": ExportRequest,
    "count": CountRequest,
    "ceilings": CeilingsRequest,
    "prepare": PrepareRequest,
    "time": TimeRequest,
    "output": OutputRequest,
    "upscale": UpscaleRequest,
    "memory": MemoryRequest,
}
