"""Networks that come as a single file."""

import copy
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness.errors import SubmissionError, UnsupportedError, UsageError
from harness.submissions.discovery import discover
from harness.submissions.loaders import LOADERS, SUFFIXES, loader_for
from harness.worker.contract import find_size_multiple
from harness.worker.loader import load_network


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
        self.up = nn.PixelShuffle(2)

    def forward(self, x):
        return self.up(torch.relu(self.conv(x)))


FRAME = torch.rand(1, 3, 17, 20)


@pytest.fixture
def net():
    torch.manual_seed(1)
    return Net().eval()


def load_only(path, tmp_path, scale=2):
    (one,) = discover([path], entry_points=False, cache_dir=tmp_path / "cache")
    assert one.origin == "file"
    return load_network(one.root, one.manifest.factory, scale, one.manifest.weights_for(scale))


def write_onnx(net, path, sides=("height", "width")):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(net.conv.weight.detach().numpy(), "conv.weight")
    bias = numpy_helper.from_array(net.conv.bias.detach().numpy(), "conv.bias")
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("DepthToSpace", ["b"], ["y"], blocksize=2, mode="CRD"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *sides])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def test_onnx_gives_what_torch_gives(net, tmp_path):
    pytest.importorskip("onnxruntime")
    write_onnx(net, tmp_path / "Tiny net.onnx")
    network = load_only(tmp_path / "Tiny net.onnx", tmp_path)
    with torch.no_grad():
        np.testing.assert_allclose(network(FRAME).numpy(), net(FRAME).numpy(), atol=1e-6)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in net.parameters())
    assert torch.equal(copy.deepcopy(network)(FRAME), network(FRAME))
    assert find_size_multiple(network, 2) == 1
    with pytest.raises(UnsupportedError, match="upscales by 2, not by 3"):
        load_only(tmp_path / "Tiny net.onnx", tmp_path, scale=3)


def test_onnx_of_one_size_and_damaged_onnx(net, tmp_path):
    pytest.importorskip("onnxruntime")
    write_onnx(net, tmp_path / "fixed.onnx", sides=(64, 64))
    with pytest.raises(UnsupportedError, match="takes inputs of 1x3x64x64 only"):
        load_only(tmp_path / "fixed.onnx", tmp_path)
    (tmp_path / "bad.onnx").write_bytes(b"not onnx")
    with pytest.raises(SubmissionError, match="no ONNX model that runs here"):
        load_only(tmp_path / "bad.onnx", tmp_path)
    (tmp_path / "pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(SubmissionError, match="is a Git LFS pointer"):
        load_only(tmp_path / "pointer.onnx", tmp_path)


def test_onnx_without_its_runtime(net, tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnsupportedError, match="needs ONNX Runtime"):
        load_only(tmp_path / "a.onnx", tmp_path)


@pytest.mark.filterwarnings("default")
def test_an_exported_program(net, tmp_path):
    sides = {2: torch.export.Dim("height", min=4, max=4096), 3: torch.export.Dim("width", min=4, max=4096)}
    torch.export.save(torch.export.export(net, (FRAME,), dynamic_shapes=(sides,)), tmp_path / "Program.pt2")
    network = load_only(tmp_path / "Program.pt2", tmp_path)
    with torch.no_grad():
        assert torch.equal(network(FRAME), net(FRAME))
    assert not any(module.training for module in network.modules())
    assert find_size_multiple(network, 2) == 1
    (tmp_path / "bad.pt2").write_bytes(b"PK")
    with pytest.raises(SubmissionError, match="no exported program"):
        load_only(tmp_path / "bad.pt2", tmp_path)


class FakeDescriptor(SimpleNamespace):
    pass


@pytest.fixture
def spandrel(net, monkeypatch):
    """Stand in for spandrel, which would bring torchvision: its documented names, and one network it knows."""
    module = ModuleType("spandrel")
    module.UnsupportedModelError = type("UnsupportedModelError", (Exception,), {})
    module.ImageModelDescriptor = FakeDescriptor

    class ModelLoader:
        def __init__(self, device):
            assert device == "cpu"

        def load_from_state_dict(self, state):
            if set(state) != set(net.state_dict()):
                raise module.UnsupportedModelError
            net.load_state_dict(state)
            return FakeDescriptor(model=net, scale=2, input_channels=3, output_channels=3)

    module.ModelLoader = ModelLoader
    monkeypatch.setitem(sys.modules, "spandrel", module)
    return module


def test_a_bare_checkpoint_of_a_known_network(spandrel, net, tmp_path):
    state = {f"module.{key}": torch.full_like(value, 0.25) for key, value in net.state_dict().items()}
    torch.save({"params_ema": state}, tmp_path / "Known.pth")
    network = load_only(tmp_path / "Known.pth", tmp_path)
    assert float(network.conv.weight.mean()) == 0.25
    with pytest.raises(UnsupportedError, match="upscales by 2, not by 4"):
        load_only(tmp_path / "Known.pth", tmp_path, scale=4)


def test_a_bare_checkpoint_of_an_unknown_network(spandrel, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "unknown.safetensors")
    with pytest.raises(UnsupportedError, match=r"an architecture that spandrel does not recognize.*harness init"):
        load_only(tmp_path / "unknown.safetensors", tmp_path)


def test_a_bare_checkpoint_without_spandrel(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    save_file({"a": torch.zeros(1)}, tmp_path / "unknown.safetensors")
    with pytest.raises(
        UnsupportedError, match=r"spandrel, which recognizes architectures, is not installed.*harness init"
    ):
        load_only(tmp_path / "unknown.safetensors", tmp_path)


def test_a_manifest_may_name_a_loader_and_an_unknown_one_is_named(net, tmp_path):
    text = '[submission]\nname = "Told"\nscales = [2]\nfactory = "harness.loaders:{}"\n[weights]\nx2 = "x2.bin"\n'
    (tmp_path / "x2.bin").touch()
    (tmp_path / "submission.toml").write_text(text.format("nothing"))
    (one,) = discover([tmp_path], entry_points=False)
    with pytest.raises(SubmissionError, match=r"no loader is called 'nothing'.*onnx, spandrel, torch_export"):
        load_network(one.root, one.manifest.factory, 2, one.manifest.weights_for(2))
    with pytest.raises(SubmissionError, match="needs a file for x2"):
        load_network(one.root, one.manifest.factory, 2, None)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a package whose loader returns the value of an expression."""

    def install(value):
        (tmp_path / "zz_loader.py").write_text(f"from torch import nn\ndef load(path, scale):\n    return {value}\n")
        info = tmp_path / "zz_loader-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-loader\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[harness.loaders]\nzz = zz_loader:load\n[harness.suffixes]\n.zz = zz\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "zz_loader", raising=False)

    return install


def test_a_package_may_add_a_loader(package, tmp_path):
    package("nn.Upsample(scale_factor=scale)")
    assert load_network(tmp_path, "harness.loaders:zz", 3, tmp_path / "zz_loader.py").scale_factor == 3.0
    (tmp_path / "bare.ZZ").touch()
    (found,) = discover([tmp_path / "bare.ZZ"], entry_points=False, cache_dir=tmp_path / "cache")
    assert found.manifest.factory == "harness.loaders:zz"


def test_a_loader_that_returns_no_network_is_named(package, tmp_path):
    package("nn.Upsample(scale_factor=scale).state_dict()")
    with pytest.raises(SubmissionError, match=r"loader zz returned a OrderedDict, not a torch\.nn\.Module"):
        load_network(tmp_path, "harness.loaders:zz", 3, tmp_path / "zz_loader.py")


def test_a_suffix_that_two_packages_claim_is_refused():
    points = [EntryPoint(".ONNX", "other", "harness.suffixes"), EntryPoint(".onnx", "onnx", "harness.suffixes")]
    with pytest.raises(UsageError, match=r"claimed by the loaders onnx \(unknown\) and other|other .* and onnx"):
        loader_for(Path("a.onnx"), replace(SUFFIXES, find=lambda _: points))
    assert loader_for(Path("a.onnx")) == "onnx"
    assert loader_for(Path("a.txt")) is None


def test_every_suffix_names_a_loader():
    assert {plugin.target for plugin in SUFFIXES.plugins()} <= set(LOADERS.names())
