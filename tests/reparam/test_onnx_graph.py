"""The ONNX model gives what the network gives, at sizes that it was not traced with."""

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.errors import UnsupportedError
from harness.reparam import onnx_model


class Unshuffled(nn.Module):
    """Takes even sides only, as RT4KSR does."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(12, 48, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.body(functional.pixel_unshuffle(x, 2)), 4)


class Branching(nn.Module):
    """Asks the data where to go, which a graph cannot."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0.5 else functional.interpolate(x, scale_factor=2.0)


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_sides_that_must_be_multiples_stay_free() -> None:
    network = Unshuffled().eval()
    session = onnxruntime.InferenceSession(onnx_model(network, size_multiple=2), providers=["CPUExecutionProvider"])
    image = torch.rand(1, 3, 30, 22)
    (upscaled,) = session.run(["upscaled"], {"image": image.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(upscaled), network(image), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_branch_on_data_is_named() -> None:
    with pytest.raises(UnsupportedError, match="cannot be written as ONNX"):
        onnx_model(Branching())
