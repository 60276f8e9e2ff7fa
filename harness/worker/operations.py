"""The operations that a worker executes on request, from loading a submission to upscaling a frame.

They run in a worker process, or in the controller's own process if only trusted code is measured (see
``harness.engines.inline``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from harness.complexity.copying import frozen
from harness.complexity.parameters import count_parameters
from harness.errors import UnsupportedError, WorkerError
from harness.isolation.messages import Array
from harness.isolation.requests import (
    REQUESTS,
    Body,
    CeilingsReply,
    CeilingsRequest,
    CheckReply,
    CheckRequest,
    CountReply,
    CountRequest,
    EmptyReply,
    ExportReply,
    ExportRequest,
    FindingReply,
    FormReply,
    GraphRequest,
    GrowHeapRequest,
    LayerReply,
    LoadReply,
    LoadRequest,
    MemoryReply,
    MemoryRequest,
    PrepareReply,
    PrepareRequest,
    ReleaseRequest,
    ReparameterizeRequest,
    ReparamReply,
    TimeRequest,
    UpscaleRequest,
    UseFormRequest,
    path_of_text,
)
from harness.worker.frames import Image
from harness.worker.memory import forward_memory, give_back_free_pages, grow_heap
from harness.worker.network import DTYPES, MeasuredNetwork, is_onnx_file
from harness.worker.timed_calls import TimedCalls
from harness.worker.torch_settings import set_for_measuring

if TYPE_CHECKING:
    from harness.reparam import Outcome

Reply = tuple[Body, list[Array]]


class Operations:
    """Handlers of all requests for one submission. ``load`` must be the first request.

    Parameters
    ----------
    frame_of
        Returns memory for an output of the given height and width, H x W x 3, uint8, or None to allocate it.
    mark
        Called before and after each timed window; None for no calls.
    """

    def __init__(
        self,
        frame_of: Callable[[int, int], Image | None] = lambda _height, _width: None,
        mark: Callable[[], object] | None = None,
    ) -> None:
        self._frame_of = frame_of
        self._request: LoadRequest | None = None
        self._loaded: MeasuredNetwork | None = None
        self._timed = TimedCalls(mark)
        self._handlers: dict[type[Body], Callable[[Any, Sequence[Array]], Reply]] = {
            LoadRequest: self._load,
            CheckRequest: self._check,
            ReparameterizeRequest: self._reparameterize,
            UseFormRequest: self._use_form,
            ExportRequest: self._export,
            GraphRequest: self._graph,
            CountRequest: self._count,
            CeilingsRequest: self._ceilings,
            PrepareRequest: self._prepare,
            TimeRequest: self._time,
            UpscaleRequest: self._upscale,
            ReleaseRequest: self._release,
            MemoryRequest: self._memory,
            GrowHeapRequest: self._grow_heap,
        }

    def run(self, name: str, body: dict[str, Any], arrays: Sequence[Array]) -> Reply:
        """Execute the request `name` and return the fields and arrays of the reply."""
        request = REQUESTS[name].model_validate(body)
        if self._request is not None:
            set_for_measuring(self._request.threads, strict=self._request.strict)
        return self._handlers[type(request)](request, arrays)

    def _load(self, request: LoadRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.worker.contract import find_size_multiple
        from harness.worker.filling import Reading
        from harness.worker.loader import Declared, load

        self._request = request
        require_device(request.device)
        set_for_measuring(request.threads, strict=request.strict)
        # A random initialization is the same in every process of the network.
        torch.manual_seed(request.seed)
        root = path_of_text(request.root)
        weights = root / request.weights if request.weights else None
        reading = Reading(trust_pickle=request.trust_pickle, key=request.weights_key)
        declared = Declared(
            request.has_manifest, request.requires, request.kwargs, request.folder, request.output, request.colour,
            request.value_range, request.hook, request.alternatives, request.random_weights,
        )  # fmt: skip
        loaded = load(root, request.factory, request.scale, weights, reading, declared)
        multiple = find_size_multiple(loaded.network, request.scale, request.value_range, request.size_multiple)
        value_range, range_note = _value_range(loaded.network, request, multiple)
        settings = request.model_copy(update={"value_range": value_range})
        self._loaded = MeasuredNetwork(settings, loaded.network, multiple)
        notes = [*loaded.notes, *_multiple_note(multiple, request.size_multiple), *range_note]
        reply = LoadReply(
            params_before=count_parameters(loaded.network),
            size_multiple=multiple,
            value_range=value_range,
            weights=not request.random_weights,
            takes_luma=loaded.takes_luma,
            backend="onnxruntime" if is_onnx_file(loaded.network) else request.backend,
            # The limit of `requests.ShortText`: a longer text would make the reply invalid.
            notes=[note[:500] for note in notes],
        )
        return reply, []

    def _check(self, _request: CheckRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.worker.contract import check_network

        network = self._network()
        settings = network.settings
        findings = check_network(
            network.original,
            settings.scale,
            settings.value_range,
            network.size_multiple,
            settings.colour,
            trained=not settings.random_weights,
        )
        sent = [FindingReply(level=one.level, what=one.what[:2000], hint=one.hint[:500]) for one in findings]
        return CheckReply(findings=sent), []

    def _reparameterize(self, request: ReparameterizeRequest, arrays: Sequence[Array]) -> Reply:
        from harness.reparam import Search, reparameterize, time_limit

        network = self._network()
        search = Search(
            automatic=request.automatic,
            allow_border_error=request.allow_border_error,
            limit_s=network.settings.analysis_limit_s,
            regions=None if request.regions is None else frozenset(request.regions),
        )
        with time_limit(request.budget_s):
            outcome = reparameterize(
                network.original,
                hook=network.settings.hook,
                frames=[network.to_input(frame) for frame in arrays],
                value_range=network.settings.value_range,
                size_multiple=network.size_multiple,
                search=search,
                sizes=[(height, width) for height, width in request.sizes],
            )
        network.forms = {name: frozen(form) for name, form in outcome.forms.items()}
        network.replace_form(frozen(outcome.network))
        return _reparam_reply(outcome), []

    def _use_form(self, request: UseFormRequest, _arrays: Sequence[Array]) -> Reply:
        network = self._network()
        network.replace_form(network.form_called(request.form))
        return EmptyReply(), []

    def _export(self, request: ExportRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.backends import onnx_export
        from harness.reparam import submission_files

        network = self._network()
        form, multiple, scale = network.form, network.size_multiple, network.settings.scale
        value_range = network.settings.value_range
        files = submission_files(form, scale, name=request.name, value_range=value_range, size_multiple=multiple)
        if request.onnx:
            files[f"x{scale}.onnx"] = onnx_export.export(form, size_multiple=multiple).content
        return ExportReply(paths=list(files)), [np.frombuffer(content, np.uint8) for content in files.values()]

    def _graph(self, _request: GraphRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.worker.graph import exported

        network = self._network()
        return EmptyReply(), [np.frombuffer(exported(network.form, network.size_multiple), np.uint8)]

    def _count(self, request: CountRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.complexity.count import count
        from harness.complexity.traffic import count_traffic

        n, c, h, w = request.input_shape
        network = self._network()
        limit_s, is_timed = network.settings.analysis_limit_s, request.form is None
        form = network.form if request.form is None else network.form_called(request.form)
        counted = count(form, (n, c, h, w), size_multiple=network.size_multiple, limit_s=limit_s)
        itemsize = DTYPES[network.settings.precision].itemsize
        sizes = {"itemsize": itemsize, "size_multiple": network.size_multiple}
        moved = count_traffic(form, (n, c, h, w), **sizes, limit_s=limit_s) if is_timed else None
        figures = {one.name: getattr(counted, one.name) for one in fields(counted)}
        figures |= {
            "incomplete_ops": list(counted.incomplete_ops),
            "source": counted.source[:500],
            "note": counted.note[:500],
            "bytes_moved": moved.bytes if moved else None,
            "operators": moved.operators if moved else None,
            "layers": [LayerReply(**dict(layer)) for layer in counted.layers] if is_timed else [],
        }
        return CountReply(**figures), []

    def _ceilings(self, _request: CeilingsRequest, _arrays: Sequence[Array]) -> Reply:
        from harness.worker.ceilings import measure_ceilings

        settings = self._network().settings
        found = measure_ceilings(torch.device(settings.device), DTYPES[settings.precision])
        # Free the operands, gigabytes on an accelerator: this worker runs the anchor from now on.
        if settings.device == "cpu":
            give_back_free_pages()
        else:
            torch.accelerator.empty_cache()
        return CeilingsReply(macs_per_s=found.macs_per_s, bytes_per_s=found.bytes_per_s, launch_s=found.launch_s), []

    def _prepare(self, request: PrepareRequest, _arrays: Sequence[Array]) -> Reply:
        network = self._network()
        height, width = network.padded(*request.size)
        begin = perf_counter_ns()
        runner = network.runner()
        if request.call:
            with torch.inference_mode():
                runner(runner.ready(network.place(torch.rand(1, 3, height, width)), main=request.main))
        # Kernels run asynchronously: wait for them before the clock is read.
        if network.settings.device != "cpu":
            torch.accelerator.synchronize()
        return PrepareReply(seconds=(perf_counter_ns() - begin) / 1e9), []

    def _time(self, request: TimeRequest, arrays: Sequence[Array]) -> Reply:
        return self._timed.time(self._network(), request, arrays)

    def _upscale(self, _request: UpscaleRequest, _arrays: Sequence[Array]) -> Reply:
        return EmptyReply(), [self._timed.image(self._network(), self._frame_of)]

    def _release(self, _request: ReleaseRequest, _arrays: Sequence[Array]) -> Reply:
        self._timed.release(self._network())
        return EmptyReply(), []

    def _memory(self, request: MemoryRequest, _arrays: Sequence[Array]) -> Reply:
        network = self._network()
        size = self._timed.size if request.size is None else network.padded(*request.size)
        if size is None:
            return MemoryReply(peak_bytes=None), []
        with torch.inference_mode():
            peak = forward_memory(*network.memory_form(), size, network.size_multiple, network.settings.device)
        return MemoryReply(peak_bytes=peak), []

    def _grow_heap(self, request: GrowHeapRequest, _arrays: Sequence[Array]) -> Reply:
        if self._network().settings.device == "cpu":
            grow_heap(request.size_bytes)
        return EmptyReply(), []

    def _network(self) -> MeasuredNetwork:
        if self._loaded is None:
            raise WorkerError("nothing is loaded yet", stage="load", kind="NotLoaded")
        return self._loaded


def _reparam_reply(outcome: Outcome) -> ReparamReply:
    record = outcome.record
    return ReparamReply(
        method=record.method[:500],
        params_before=record.params_before,
        params_after=record.params_after,
        max_abs_error=record.max_abs_error,
        notes=record.notes,
        forms=[
            FormReply(name=one.name, method=one.method[:500], params=one.params, max_abs_error=one.max_abs_error)
            for one in record.forms
        ],
        regions=[name[:500] for name in outcome.regions],
    )


def _multiple_note(found: int, declared: int) -> list[str]:
    if found == declared:
        return []
    said = f"takes only sides that are multiples of {found}, which its manifest does not state"
    return [f"{said}: set size_multiple = {found}; the harness pads and crops meanwhile"]


def _value_range(network: nn.Module, request: LoadRequest, multiple: int) -> tuple[float, list[str]]:
    """Return the value of white and a remark about it. Without a manifest, it is determined on a photograph."""
    from harness.worker.accuracy import better_range

    assumed = request.value_range
    if request.has_manifest or request.random_weights:
        return assumed, []
    found = better_range(network, request.scale, assumed, multiple)
    if found is None:
        return assumed, []
    return found, [f"measured with value_range = {found:g}, which fits a photograph better than {assumed:g}"]


def require_device(name: str) -> None:
    """Raise UnsupportedError if torch cannot use the device. A worker never falls back to another one."""
    device = torch.device(name)
    if device.type == "cpu":
        return
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None or accelerator.type != device.type:
        raise UnsupportedError(
            f"the worker finds no {device.type} device",
            hint="check the driver and the sandbox (harness doctor), or run with --device cpu",
        )
    if device.index is not None and device.index >= torch.accelerator.device_count():
        raise UnsupportedError(f"there is no device {name}", hint="list the devices with harness doctor")
    if device.index is not None:
        torch.get_device_module(device).set_device(device)  # CUDA graphs and some libraries use the current device
