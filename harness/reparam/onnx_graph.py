"""A network as an ONNX model that takes images of any size."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import UnsupportedError

INPUT, OUTPUT = "image", "upscaled"
"""Names of the model's only input and output."""

LARGEST_SIDE = 16384
EXAMPLE_SIDES = (48, 60)
"""Height and width, about, that the network is traced with: unequal, so that no size is taken for another."""

CHECKED_SIDES = (96, 40)
"""Height and width, about, at which ONNX Runtime's output is compared with the network's."""

TOLERANCE = 1e-4
"""Largest difference, as a share of the output's largest value: another library's order of additions."""


def onnx_model(network: nn.Module, *, size_multiple: int = 1) -> bytes:
    """Export a network with free height and width, and compare the model with it in ONNX Runtime.

    Parameters
    ----------
    network
        In eval mode, on the CPU; takes and gives N x 3 x H x W of its parameters' dtype. N is 1 in the model.
    size_multiple
        Height and width are multiples of this.

    Returns
    -------
    bytes
        The serialized model, weights included; input ``image``, output ``upscaled``.

    Raises
    ------
    UnsupportedError
        Where the exporter or ONNX Runtime is not installed, cannot express the network, or gives another image.
    """
    try:
        with _quiet():
            program = _export(network, _image(network, EXAMPLE_SIDES, size_multiple), size_multiple)
            content: bytes = program.model_proto.SerializeToString()
            gap = _largest_gap(content, network, _image(network, CHECKED_SIDES, size_multiple))
    except ImportError as error:
        raise UnsupportedError(
            f"exporting to ONNX needs {error.name}, which is not installed", mend='pip install "sr-harness[onnx]"'
        ) from error
    except Exception as error:  # the exporter raises whatever its passes raise
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UnsupportedError(
            f"the network cannot be written as ONNX: {line}",
            mend="its forward branches on data or sizes; move that out of the network",
        ) from error
    if not gap <= TOLERANCE:
        raise UnsupportedError(
            f"the ONNX model's image differs from the network's by {gap:.2g} of its largest value",
            mend="its forward does something that an export does not see; use the torch form",
        )
    return content


def _image(network: nn.Module, about: tuple[int, int], size_multiple: int) -> Tensor:
    parameter = next(network.parameters(), torch.empty(0))
    sides = (size_multiple * -(-side // size_multiple) for side in about)
    return torch.rand(1, 3, *sides, generator=torch.Generator().manual_seed(0)).to(parameter.dtype)


@torch.no_grad()
def _largest_gap(content: bytes, network: nn.Module, image: Tensor) -> float:
    onnxruntime: Any = importlib.import_module("onnxruntime")

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    output = torch.from_numpy(session.run([OUTPUT], {INPUT: image.numpy()})[0])
    expected = network(image.clone())
    return float((output - expected).abs().max() / expected.abs().max().clamp(min=1.0))


def _export(network: nn.Module, example: Tensor, size_multiple: int) -> Any:
    height, width = (_side(name, size_multiple) for name in ("height", "width"))
    return torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        dynamic_shapes=({2: height, 3: width},),
        input_names=[INPUT],
        output_names=[OUTPUT],
        verbose=False,
    )


def _side(name: str, multiple: int) -> Any:
    if multiple == 1:
        return torch.export.Dim(name, min=2, max=LARGEST_SIDE)
    return multiple * torch.export.Dim(name, min=2, max=LARGEST_SIDE // multiple)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says of itself; what it says of the network arrives as an exception."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
