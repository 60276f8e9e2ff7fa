"""What a worker does on request: the steps from a folder to an upscaled frame.

This is the only place where a submission's network is held. It runs in a worker process, or in the controller's
own process where nothing foreign is measured (see ``harness.engines.inline``).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from time import perf_counter_ns
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from harness.backends.runner import Runner, make_runner
from harness.complexity.layers import Layer
from harness.errors import DISQUALIFIED, ContractError, UnsupportedError, WorkerError
from harness.isolation.messages import Array
from harness.isolation.requests import (
    REQUESTS,
    Body,
    CeilingsReply,
    CeilingsRequest,
    CountReply,
    CountRequest,
    EmptyReply,
    ExportReply,
    ExportRequest,
    LayerReply,
    LoadReply,
    LoadRequest,
    MemoryReply,
    MemoryRequest,
    OutputRequest,
    PrepareReply,
    PrepareRequest,
    ReparameterizeRequest,
    TimeReply,
    TimeRequest,
    UpscaleRequest,
    path_of_text,
)
from harness.results.schema import Backend, Reparam

# Before any submitted code, so that what it does to the modules of timers cannot reach these.
from harness.worker.clock import clock_for
from harness.worker.frames import Image, check_form, check_output, scale_levels, to_image, to_input, to_levels
from harness.worker.hygiene import cache_flusher
from harness.worker.inputs import GivenFrames
from harness.worker.measure import Sampling, fresh_frames, repeated_frame, time_forward
from harness.worker.memory import forward_memory, give_back_free_pages
from harness.worker.tampering import TamperDetector

Reply = tuple[Body | Reparam, list[Array]]

_TRACE_STEP = 16
_MOST_NAMES = 8
_seed = torch.manual_seed  # as it is before submitted code
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Operations:
    """One submission's network and what can be asked of it, in the order load, then anything.

    Parameters
    ----------
    frame_of
        Gives memory for an output of so many rows and columns, H x W x 3, uint8, or None; by default it is made anew.
    """

    def __init__(self, frame_of: Callable[[int, int], Image | None] = lambda _height, _width: None) -> None:
        self._frame_of = frame_of
        self._request: LoadRequest | None = None
        self._original: nn.Module | None = None  # as loaded, float32, on the CPU
        self._network: nn.Module | None = None  # the form to measure, float32, on the CPU
        self._runner: Runner | None = None  # the same on the device, in the precision and the backend that are measured
        self._inputs: GivenFrames | None = None  # the runner's
        self._multiple = 1
        self._timed_size: tuple[int, int] | None = None
        self._held: Tensor | None = None  # the last timed output, copied when its time had been taken
        self._is_kept = False
        self._held_traces = torch.empty(0)  # some of its values, to see that nobody changes it
        self._watch = TamperDetector()  # of functions as they are before submitted code runs
        self._handlers: dict[type[Body], Callable[[Any, Sequence[Array]], Reply]] = {
            LoadRequest: self._load,
            ReparameterizeRequest: self._reparameterize,
            ExportRequest: self._export,
            CountRequest: self._count,
            CeilingsRequest: self._ceilings,
            PrepareRequest: self._prepare,
            TimeRequest: self._time,
            OutputRequest: self._output,
            UpscaleRequest: self._upscale,
            MemoryRequest: self._memory,
        }

    def run(self, name: str, body: dict[str, Any], arrays: Sequence[Array]) -> Reply:
        """Carry out the request `name` and return its reply's fields and arrays."""
        request = REQUESTS[name].model_validate(body)
        if self._request is not None:
            _restore_settings(self._request)
        return self._handlers[type(request)](request, arrays)

    def _load(self, request: LoadRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.worker.loader import load

        self._request = request
        require_device(request.device)
        _restore_settings(request)
        torch.manual_seed(request.seed)
        root = path_of_text(request.root)
        weights = root / request.weights if request.weights else None
        loaded = load(root, request.factory, request.scale, weights, trust_pickle=request.trust_pickle)
        network = self._original = self._network = loaded.network
        self._multiple = self._find_multiple(request)
        reply = LoadReply(
            params_before=_parameter_count(network),
            size_multiple=self._multiple,
            weights=not request.random_weights,
            backend="onnxruntime" if _is_onnx_file(network) else request.backend,
            notes=[note[:500] for note in [*loaded.notes, *self._notes(request)]],
        )
        return reply, []

    def _find_multiple(self, request: LoadRequest) -> int:
        from harness.worker.contract import find_size_multiple

        try:
            found = find_size_multiple(self._loaded(), request.scale, request.value_range)
        except ContractError:
            if request.size_multiple == 1:
                raise
            return request.size_multiple  # a multiple that nobody would guess
        return math.lcm(found, request.size_multiple)

    def _notes(self, request: LoadRequest) -> list[str]:
        if self._multiple == request.size_multiple:
            return []
        return [f"takes only sides that are multiples of {self._multiple}, which its manifest does not say"]

    def _reparameterize(self, request: ReparameterizeRequest, arrays: Sequence[Array]) -> Reply:
        from harness.reparam import reparameterize

        settings = self._settings()
        assert self._original is not None
        outcome = reparameterize(
            self._original,
            hook=settings.hook,
            frames=[self._input(frame) for frame in arrays],
            value_range=settings.value_range,
            size_multiple=self._multiple,
            allow_border_error=request.allow_border_error,
        )
        self._network = outcome.network.eval().requires_grad_(False)
        self._runner = self._inputs = None
        return outcome.record, []

    def _export(self, request: ExportRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.backends import onnx_export
        from harness.reparam import submission_files

        settings = self._settings()
        files = submission_files(
            self._loaded(),
            settings.scale,
            name=request.name,
            value_range=settings.value_range,
            size_multiple=self._multiple,
        )
        if request.onnx:
            files[f"x{settings.scale}.onnx"] = onnx_export.export(self._loaded(), size_multiple=self._multiple).content
        return ExportReply(paths=list(files)), [np.frombuffer(content, np.uint8) for content in files.values()]

    def _count(self, request: CountRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.complexity.count import count
        from harness.complexity.traffic import count_traffic

        n, c, h, w = request.input_shape
        network = self._original if request.original and self._original is not None else self._loaded()
        counted = count(network, (n, c, h, w), size_multiple=self._multiple)
        itemsize = _DTYPES[self._settings().precision].itemsize
        moved = count_traffic(network, (n, c, h, w), itemsize=itemsize, size_multiple=self._multiple)
        reply = CountReply(
            params=counted.params,
            macs=counted.macs,
            activations=counted.activations,
            macs_ntire23=counted.macs_ntire23,
            incomplete_ops=list(counted.incomplete_ops),
            source=counted.source[:500],
            bytes_moved=moved.bytes if moved else None,
            operators=moved.operators if moved else None,
            layers=[] if request.original else [_layer_reply(layer) for layer in counted.layers],
        )
        return reply, []

    def _ceilings(self, _request: CeilingsRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.worker.ceilings import measure_ceilings

        settings = self._settings()
        found = measure_ceilings(torch.device(settings.device), _DTYPES[settings.precision])
        if (
            settings.device == "cpu"
        ):  # hundreds of megabytes, on an accelerator gigabytes; this is the anchor from now on
            give_back_free_pages()
        else:
            torch.accelerator.empty_cache()
        return CeilingsReply(macs_per_s=found.macs_per_s, bytes_per_s=found.bytes_per_s, launch_s=found.launch_s), []

    def _prepare(self, request: PrepareRequest, _arrays: Sequence[Array]) -> Reply:
        height, width = (side + -side % self._multiple for side in request.size)
        begin = perf_counter_ns()
        runner = self._running()
        if request.call:
            with torch.inference_mode():
                runner(runner.ready(self._placed(torch.rand(1, 3, height, width)), main=request.main))
        if self._settings().device != "cpu":
            torch.accelerator.synchronize()
        return PrepareReply(seconds=(perf_counter_ns() - begin) / 1e9), []

    def _time(self, request: TimeRequest, arrays: Sequence[Array]) -> Reply:
        settings = self._settings()
        runner, inputs = self._running(), self._giving()
        given = last = traces = torch.empty(0)
        device = torch.device(settings.device)
        inside = settings.strict and device.type != "cpu"
        flush = cache_flusher(device) if inside else None

        def give(frame: Tensor) -> Tensor:
            nonlocal given, traces
            given = inputs.timed(frame)
            traces = _traces(given)
            return given

        def check(output: Tensor) -> None:
            nonlocal last
            _require_plain(output)
            last = check_form(output, given, settings.scale)
            if not torch.equal(traces, _traces(given)):
                _foul("its forward pass changes its input", "compute on a copy")

        self._check_functions()
        repeats = min(request.repeats, len(arrays)) if request.inputs == "dataset" else request.repeats
        with torch.inference_mode():
            timing = time_forward(
                runner,
                _seeded(self._timed_inputs(request, arrays, give), settings.seed),
                clock_for(device, flush, self._hold) if inside else clock_for(device),
                Sampling(request.warmup, repeats, request.min_repeats, request.budget_s),
                check,
            )
            self._is_kept = request.keep or inside
            if self._is_kept:
                self._held_traces = _traces(last)  # before the copy: what is written into that meanwhile shows
                if not inside:  # nobody knows which call is the last, so that one stands for all: each is 100 MB at 4K
                    self._hold(last)
                check_output(last, given, settings.scale)
        self._timed_size = given.shape[-2], given.shape[-1]
        reply = TimeReply(
            samples_ms=[sample.ms for sample in timing.samples],
            at_s=[sample.at_s for sample in timing.samples],
            clock=timing.clock,
            warmup_ms=[sample.ms for sample in timing.warmup],
            warmup_at_s=[sample.at_s for sample in timing.warmup],
            warmup_calls=len(timing.warmup),
            alarms=timing.alarms,
            note=timing.note,
        )
        return reply, []

    def _timed_inputs(
        self, request: TimeRequest, arrays: Sequence[Array], give: Callable[[Tensor], Tensor]
    ) -> Iterator[Tensor]:
        if request.inputs == "fresh":  # made on the device from few bytes
            settings = self._settings()
            levels = fresh_frames([to_levels(frame).to(settings.device) for frame in arrays])
            scaled = (scale_levels(level, settings.value_range, self._multiple) for level in levels)
            return (give(self._placed(frame)) for frame in scaled)
        frames = (self._placed(self._input(frame)) for frame in arrays)
        return repeated_frame(give(next(frames))) if request.inputs == "reused" else map(give, frames)

    def _check_functions(self) -> None:
        replaced = self._watch.replaced()
        if replaced:
            names = ", ".join(replaced[:_MOST_NAMES])
            _foul(f"it replaced {names}, which measure or check it", "leave other modules as they are")

    def _hold(self, output: object) -> None:
        """Copy a timed output at once, before anything that still works on it can finish."""
        _require_plain(output)
        if not isinstance(output, Tensor):
            return  # refused by the check that follows
        held = self._held
        if held is None or (held.shape, held.dtype, held.device) != (output.shape, output.dtype, output.device):
            self._held = output.detach().clone()
        else:
            held.copy_(output)  # the same memory again: no page faults beside the next call

    def _output(self, request: OutputRequest, _arrays: Sequence[Array]) -> Reply:
        if self._held is None or not self._is_kept:
            raise WorkerError("no timed output was kept", stage="time", kind="NotTimed")
        if not torch.equal(self._held_traces, _traces(self._held)):
            _foul("the harness's copy of a timed output was changed after its time had been taken")
        rows = slice(request.top, request.top + request.height)
        columns = slice(request.left, request.left + request.width)
        part = self._held[0, :, rows, columns].to("cpu", torch.float32)
        return EmptyReply(), [part.contiguous().numpy()]

    def _upscale(self, _request: UpscaleRequest, arrays: Sequence[Array]) -> Reply:
        (frame,) = arrays
        settings = self._settings()
        runner, inputs = self._running(), self._giving()
        with torch.inference_mode():
            given = inputs.untimed(self._placed(self._input(frame)))
            _seed(settings.seed)
            output = check_output(runner(given), given, settings.scale)
            height, width = (side * settings.scale for side in frame.shape[:2])
            place = self._frame_of(height, width)
            return EmptyReply(), [to_image(output, settings.value_range, height, width, place)]

    def _memory(self, request: MemoryRequest, _arrays: Sequence[Array]) -> Reply:
        size = self._timed_size
        if request.size is not None:
            height, width = (side + -side % self._multiple for side in request.size)
            size = height, width
        if size is None:
            return MemoryReply(peak_bytes=None), []
        with torch.inference_mode():
            peak = forward_memory(*self._memory_form(), size, self._multiple, self._settings().device)
        return MemoryReply(peak_bytes=peak), []

    def _backend(self) -> Backend:
        """Return the backend to bring the network into; an ONNX file is run by ONNX Runtime and nothing else."""
        backend = self._settings().backend
        if not _is_onnx_file(self._loaded()):
            return backend
        if backend not in ("eager", "onnxruntime"):
            raise UnsupportedError(
                f"an ONNX file cannot be run with backend {backend}", hint="measure it with --backend onnxruntime"
            )
        return "eager"

    def _memory_form(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """Return what is called, and what brings a frame to it."""
        runner = self._running()
        if self._settings().backend == "cuda-graph":  # a replay allocates nothing: what it holds is the eager peak
            return runner.network, self._placed
        return runner, lambda frame: runner.ready(self._placed(frame))

    def _settings(self) -> LoadRequest:
        if self._request is None or self._network is None:
            raise WorkerError("nothing is loaded yet", stage="load", kind="NotLoaded")
        return self._request

    def _loaded(self) -> nn.Module:
        assert self._network is not None
        return self._network

    def _running(self) -> Runner:
        if self._runner is None:
            settings = self._settings()
            with torch.inference_mode(mode=False):  # exporters and compilers do not take what is made inside
                # A copy, because counting and reparameterizing need the float32 network on the CPU.
                network = copy.deepcopy(self._loaded()).to(settings.device, _DTYPES[settings.precision]).eval()
                self._runner = make_runner(
                    network,
                    self._backend(),
                    device=settings.device,
                    size_multiple=self._multiple,
                    threads=settings.threads,
                )
        return self._runner

    def _giving(self) -> GivenFrames:
        if self._inputs is None:
            self._inputs = GivenFrames(self._running())
        return self._inputs

    def _input(self, frame: Image) -> Tensor:
        return to_input(frame, self._settings().value_range, self._multiple)

    def _placed(self, frame: Tensor) -> Tensor:
        settings = self._settings()
        return frame.to(settings.device, _DTYPES[settings.precision])


def require_device(name: str) -> None:
    """Raise UnsupportedError where torch cannot reach the device: a worker never falls back to another one."""
    device = torch.device(name)
    if device.type == "cpu":
        return
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None or accelerator.type != device.type:
        raise UnsupportedError(
            f"the worker sees no {device.type} device",
            hint="check the driver and the sandbox (harness doctor), or run with --device cpu",
        )
    if device.index is not None and device.index >= torch.accelerator.device_count():
        raise UnsupportedError(f"there is no device {name}", hint="list the devices with harness doctor")
    if device.index is not None:
        torch.get_device_module(device).set_device(device)  # for what goes by the current device: graphs, libraries


def _restore_settings(request: LoadRequest) -> None:
    """Undo what a submission may have changed for the whole process."""
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(request.threads)
    # As published: torch's defaults. Strictly: the fastest algorithms for a size, and float32 that is float32.
    torch.backends.cudnn.benchmark = request.strict
    torch.backends.cudnn.allow_tf32 = not request.strict
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_grad_enabled(False)


def _seeded(frames: Iterator[Tensor], seed: int) -> Iterator[Tensor]:
    """Begin every call with the same random numbers: then what a network makes of a frame does not depend on chance."""
    for frame in frames:
        _seed(seed)
        yield frame


def _traces(image: Tensor) -> Tensor:
    """Return a copy of some values of an image, few enough to cost nothing beside a forward pass."""
    return image[..., ::_TRACE_STEP, ::_TRACE_STEP].clone()


def _require_plain(output: object) -> None:
    """Refuse a subclass of Tensor as a timed output."""
    if isinstance(output, Tensor) and type(output) not in (Tensor, nn.Parameter):
        _foul(
            f"the output of a timed call is a {type(output).__name__}, which may put off its work",
            "return a plain torch.Tensor",
        )


def _foul(what: str, hint: str | None = None) -> NoReturn:
    raise WorkerError(what, stage="time", kind=DISQUALIFIED, hint=hint)


def _layer_reply(layer: Layer) -> LayerReply:
    return LayerReply(**{**asdict(layer), "kernel": list(layer.kernel), "output_shape": list(layer.output_shape)})


def _parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _is_onnx_file(network: nn.Module) -> bool:
    from harness.worker.loaders.onnx_file import OnnxNetwork

    return isinstance(network, OnnxNetwork)
