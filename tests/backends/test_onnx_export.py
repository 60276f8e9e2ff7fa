"""An exported ONNX model computes the output of the network at other sizes than the traced one, or is rejected."""

import itertools
import sys

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.backends.onnx_export import OPSET, export
from harness.errors import UnsupportedError


class Unshuffled(nn.Module):
    """Network that accepts even sides only, such as RT4KSR."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(12, 48, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.body(functional.pixel_unshuffle(x, 2)), 4)


class Padding(nn.Module):
    """Pad by reflection to multiples of eight, as networks with window attention do."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        padded = functional.pad(x, (0, -width % 8, 0, -height % 8), mode="reflect")
        return functional.interpolate(padded, scale_factor=2.0)[..., : 2 * height, : 2 * width]


class Branching(nn.Module):
    """Branch on data, which a graph cannot express."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0.5 else functional.interpolate(x, scale_factor=2.0)


class Frozen(nn.Module):
    """Convert the width to an integer, which makes it a constant of the graph."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1.0 if int(x.shape[-1]) < 50 else 0.5)


class Counting(nn.Module):
    """Return a different image at each call, which the export does not record."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = itertools.count(1)

    def forward(self, x: Tensor) -> Tensor:
        return x * next(self.calls)


class Growing(Counting):
    """Return a larger image at each call."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=float(next(self.calls)))


class Keeping(Unshuffled):
    """Store a tensor that is created in the first call."""

    kernel: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel is None:
            self.kernel = torch.eye(3).reshape(3, 3, 1, 1).to(x)
        return super().forward(functional.conv2d(x, self.kernel))


class Bessel(nn.Module):
    """Use an operator that ONNX lacks."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


def upscaled(content: bytes, image: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["upscaled"], {"image": image.numpy()})[0])


@torch.no_grad()
@pytest.mark.parametrize("multiple", [2, 22, 64])
def test_sides_that_must_be_multiples_stay_free(multiple: int) -> None:
    network = Unshuffled().eval()
    model = export(network, size_multiple=multiple)
    image = torch.rand(1, 3, 2 * multiple, 5 * multiple)
    torch.testing.assert_close(upscaled(model.content, image), network(image), rtol=0, atol=1e-5)
    theirs = torch.from_numpy(model.session.run(["upscaled"], {"image": image.numpy()})[0])
    torch.testing.assert_close(theirs, network(image), rtol=0, atol=1e-5)
    versions = {entry.domain: entry.version for entry in onnx.load_from_string(model.content).opset_import}
    assert versions[""] == OPSET


@pytest.mark.parametrize("size", [(31, 9), (96, 96)])
def test_sides_may_decide_how_far_a_network_pads(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    torch.testing.assert_close(upscaled(export(Padding()).content, image), Padding()(image), rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_network_may_keep_a_tensor() -> None:
    network, image = Keeping().eval(), torch.rand(1, 3, 30, 22)
    content = export(network, size_multiple=2).content
    torch.testing.assert_close(upscaled(content, image), network(image), rtol=0, atol=1e-5)


@torch.no_grad()
def test_half_precision_stays_half() -> None:
    network = Unshuffled().eval().half()
    image = torch.rand(1, 3, 30, 22).half()
    result = upscaled(export(network, size_multiple=2).content, image)
    torch.testing.assert_close(result, network(image), rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Branching(), r"cannot be written as ONNX \(Could not guard on data-dependent.*branches on data"),
        (Bessel(), r"cannot be written as ONNX \(No ONNX function found for.*bessel_j0.*operators that ONNX lacks"),
        (Frozen(), r"differs from the network: it has a constant side in height x 60"),
        (Counting(), r"differs from the network: it differs by 0\.\d+ relative to the largest output value"),
        (Growing(), r"differs from the network: it returns shape \(1, 3, \d+, \d+\), not \(1, 3, \d+, \d+\)"),
        (Unshuffled().bfloat16(), r"not support bfloat16 on the CPU\. Use float32"),
    ],
)
def test_what_is_not_the_network_is_refused(network: nn.Module, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnsupportedError, match=words):
        export(network.eval())
    assert capfd.readouterr() == ("", "")  # messages of the exporter would hide the error


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnsupportedError, match=r"needs onnxruntime, which is not installed.*pip install onnx"):
        export(nn.Upsample(scale_factor=2.0))
