"""Backends on a small network: each computes the output of the module or reports why it cannot."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from typer.testing import CliRunner

from harness.backends import backend_problem, requirements
from harness.backends.cuda_graph import CudaGraph
from harness.backends.runner import Runner, make_runner
from harness.backends.tensorrt import TensorRT
from harness.cli import app
from harness.cli.options import backend_names
from harness.errors import UnsupportedError, WorkerError
from harness.submissions.manifest import Manifest


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pixel_shuffle(torch.relu(self.body(x)), 2)


class Frozen(Small):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * (1.0 if int(x.shape[-1]) < 50 else 0.5)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    return Small().eval().requires_grad_(False)


def frame(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))


def upscaled(runner: Runner, given: torch.Tensor, *, main: bool = False) -> torch.Tensor:
    with torch.inference_mode():
        return runner(runner.ready(given, main=main))


@pytest.mark.parametrize("backend", ["eager", "channels_last", "onnxruntime"])
@pytest.mark.parametrize("size", [(16, 24), (31, 7)])
def test_a_backend_computes_what_the_module_computes(network: nn.Module, backend: str, size: tuple[int, int]) -> None:
    expected = network(frame(*size))
    result = upscaled(make_runner(network, backend), frame(*size), main=True)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_a_package_may_add_a_backend(network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zz_backend.py").write_text(
        "from harness.backends import Backend\n"
        "from harness.backends.runner import Eager\n"
        "TWICE = Backend('zz_backend:Twice', lambda kind: None if kind == 'cpu' else ('runs on the CPU', 'use it'))\n"
        "class Twice(Eager):\n"
        "    def __call__(self, frame):\n"
        "        return 2 * super().__call__(frame)\n"
    )
    info = tmp_path / "zz_backend-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-backend\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[harness.backends]\ntwice = zz_backend:TWICE\n")
    monkeypatch.syspath_prepend(tmp_path)
    torch.testing.assert_close(upscaled(make_runner(network, "twice"), frame(8, 8)), 2 * network(frame(8, 8)))
    assert backend_problem("twice", "cuda:0") == ("runs on the CPU", "use it")
    assert Manifest(name="a", scales=[2], backends=["twice"]).backends == ["twice"]
    with pytest.raises(ValidationError, match="no backend is called 'twise'; did you mean 'twice'"):
        Manifest(name="a", scales=[2], backends=["twise"])
    refused = CliRunner().invoke(app, ["run", str(tmp_path), "--backend", "eager,twise"], env={"COLUMNS": "300"})
    assert refused.exit_code == 2
    assert "'twise' is unknown. Did you mean 'twice'?" in refused.output
    assert backend_names(["twice,eager", "twice"]) == ["twice", "eager"]


def test_channels_last_changes_weights_and_input(network: nn.Module) -> None:
    runner = make_runner(network, "channels_last")
    assert runner.network.body.weight.is_contiguous(memory_format=torch.channels_last)
    assert runner.ready(frame(8, 8)).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_compiling_is_bounded_whatever_the_sizes(network: nn.Module) -> None:
    from torch._dynamo.utils import counters

    expected = {side: network(frame(side, side + 3)) for side in range(10, 24)}
    counters.clear()
    runner = make_runner(network, "compile")
    for side in (12, *expected, 12):
        result = upscaled(runner, frame(side, side + 3), main=side == 12)
        torch.testing.assert_close(result, expected[side], rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 2  # that of the timed size, and that of all others


def test_a_network_that_breaks_the_graph_is_refused(network: nn.Module) -> None:
    class Breaks(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch._dynamo.graph_break()
            return super().forward(x)

    runner = make_runner(Breaks().eval(), "compile")
    with pytest.raises(WorkerError, match="does not run with backend compile") as caught:
        upscaled(runner, frame(8, 8), main=True)
    assert (caught.value.stage, caught.value.kind) == ("prepare", "BackendError")


def test_an_export_that_froze_a_size_is_refused() -> None:
    with pytest.raises(WorkerError, match="exported graph differs from the network: it has a constant side"):
        make_runner(Frozen().eval(), "onnxruntime")


def test_an_operator_that_onnx_lacks_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x).repeat_interleave(2, 2).repeat_interleave(2, 3)

    with pytest.raises(WorkerError, match=r"does not run with backend onnxruntime.*bessel"):
        make_runner(Odd(), "onnxruntime")


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, network: nn.Module) -> None:
    monkeypatch.setattr(requirements.shutil, "which", lambda *_, **__: None)
    with pytest.raises(UnsupportedError, match=r"C\+\+ compiler: g\+\+ is not in"):
        make_runner(network, "compile")


@pytest.mark.parametrize(
    ("backend", "device", "words"),
    [
        ("cuda-graph", "cpu", "CUDA graph, and the device is cpu"),
        ("tensorrt", "cpu", "the device is cpu"),
        ("tensorrt", "cuda:0", "needs torch_tensorrt"),
        ("compile", "cuda", "needs Triton"),
        ("onnxruntime", "cuda", "runs on the CPU"),
        ("onnxruntime", "cpu", "needs onnx, onnxruntime, onnxscript"),
    ],
)
def test_what_a_backend_lacks_is_said(monkeypatch: pytest.MonkeyPatch, backend: str, device: str, words: str) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda _: None)
    problem = backend_problem(backend, device)
    assert problem is not None
    assert words in problem[0]
    assert problem[1]


class FakeGraphs:
    """Emulate CUDA graphs on the CPU: capture stores the call, replay repeats it with the same memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, network: nn.Module) -> None:
        self.recorded = self.calls = 0
        self.network = network
        stream = SimpleNamespace(wait_stream=lambda _: None)
        for name, value in {
            "Stream": lambda _: stream,
            "current_stream": lambda _: stream,
            "stream": lambda _: self,
            "CUDAGraph": SimpleNamespace,
            "graph": self.record,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...

    def record(self, graph: SimpleNamespace) -> "FakeGraphs":
        self.recorded += 1
        return self


def test_a_recording_is_made_once_for_a_size_and_reads_its_own_input(
    monkeypatch: pytest.MonkeyPatch, network: nn.Module
) -> None:
    fake = FakeGraphs(monkeypatch, network)
    runner = CudaGraph(network)
    first = runner.ready(frame(8, 8), main=True)
    assert fake.recorded == 1
    assert runner.ready(frame(8, 8) + 1) is first
    torch.testing.assert_close(first, frame(8, 8) + 1)
    assert fake.recorded == 1
    with pytest.raises(RuntimeError, match="no other"):
        runner(frame(8, 8))
    for side in (9, 10, 11):
        runner.ready(frame(side, side))
    assert len(runner._recordings) == 2
    assert runner.ready(frame(8, 8)) is first  # the timed size is kept


def test_an_engine_is_built_once_for_a_size_in_explicit_precision(
    monkeypatch: pytest.MonkeyPatch, network: nn.Module
) -> None:
    asked = []

    def build(module: nn.Module, **options: object) -> nn.Module:
        asked.append(options)
        return module

    monkeypatch.setitem(sys.modules, "torch_tensorrt", SimpleNamespace(compile=build))
    runner = TensorRT(network)
    for side in (8, 8, 9, 10, 8):
        torch.testing.assert_close(upscaled(runner, frame(side, side), main=side == 8), network(frame(side, side)))
    assert len(asked) == 3
    assert all(options["require_full_compilation"] and options["use_explicit_typing"] for options in asked)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
@pytest.mark.parametrize("backend", ["channels_last", "cuda-graph"])
def test_a_backend_computes_what_the_module_computes_on_a_card(network: nn.Module, backend: str) -> None:
    on_card = network.cuda()
    runner = make_runner(on_card, backend, device="cuda")
    for side in (16, 24, 16):
        given = frame(side, side).cuda()
        torch.testing.assert_close(upscaled(runner, given, main=side == 16), on_card(given), rtol=1e-3, atol=1e-3)
