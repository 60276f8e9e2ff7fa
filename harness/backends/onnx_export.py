"""Export a network to an ONNX model for images of any size, and verify the model with ONNX Runtime."""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from harness.complexity.copying import copied
from harness.errors import UnsupportedError

INPUT, OUTPUT = "image", "upscaled"
"""Names of the model's input and output."""

OPSET = 18
"""Opset version, the one that torch's exporter produces without a conversion."""

SMALLEST_SIDE, LARGEST_SIDE = 32, 16384
"""Range of side lengths for which the export verifies that one graph is valid. The lower bound is needed because
reflection padding requires an image larger than the padding."""

# Bounds the walk along __cause__, in which submitted code could build a cycle.
_MOST_CAUSES = 20

TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-2}
"""Largest difference relative to the largest output value; the order of summation differs between libraries."""


class OnnxModel(NamedTuple):
    """An exported network.

    Attributes
    ----------
    content
        Serialized model including weights; input ``image`` and output ``upscaled`` have shape (1, 3, H, W).
    session
        ONNX Runtime session on the CPU whose output was compared with the network's.
    """

    content: bytes
    session: Any


def export(network: nn.Module, *, size_multiple: int = 1, threads: int = 1) -> OnnxModel:
    """Export a network with dynamic height and width, and compare the model with the network at two sizes.

    Parameters
    ----------
    network
        Network in eval mode on the CPU. Its input and output have shape (N, 3, H, W) and the dtype of its parameters,
        float32 or float16. N is 1 in the model.
    size_multiple
        Height and width are multiples of this.
    threads
        Number of threads of the session.

    Returns
    -------
    OnnxModel
        The model and a session that runs it.

    Raises
    ------
    UnsupportedError
        If a package is not installed, the network cannot be exported, or the output of the model differs.
    """
    example, other = (_image(network, sides) for sides in _sides(size_multiple))
    if example.dtype not in TOLERANCES:
        raise UnsupportedError(
            f"ONNX Runtime does not support {str(example.dtype).removeprefix('torch.')} on the CPU",
            hint="use float32 or float16",
        )
    try:
        with _quiet():
            content = _content(network, example, size_multiple)
            session = _session(content, threads)
            for image in (example, other):
                _compare(session, network, image)
    except ImportError as error:
        raise UnsupportedError(
            f"exporting to ONNX needs {error.name or error}, which is not installed",
            hint="python -m pip install onnx onnxruntime onnxscript",
        ) from error
    except UnsupportedError:
        raise
    except Exception as error:  # the exporter and ONNX Runtime do not document their exceptions
        raise UnsupportedError(
            f"the network cannot be written as ONNX ({_reason(error)})",
            hint="its forward uses operators that ONNX lacks, or branches on data or sizes; remove it from the network",
        ) from error
    return OnnxModel(content, session)


def _sides(multiple: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the size (height, width) for tracing and another one for the comparison.

    Neither is square, so that a height cannot be mistaken for a width. They are 48 x 60 and 96 x 40 for multiple 1.
    """
    short, step = max(2, math.ceil(48 / multiple)), math.ceil(12 / multiple)
    low, high = max(2, math.ceil(40 / multiple)), max(3, math.ceil(96 / multiple))
    return (short * multiple, (short + step) * multiple), (high * multiple, low * multiple)


def _image(network: nn.Module, sides: tuple[int, int]) -> Tensor:
    parameter = next(network.parameters(), torch.empty(0))
    return torch.rand(1, 3, *sides, generator=torch.Generator().manual_seed(0)).to(parameter.dtype)


def _content(network: nn.Module, example: Tensor, size_multiple: int) -> bytes:
    height, width = (_side(name, size_multiple) for name in ("height", "width"))
    program: Any = torch.onnx.export(
        copied(network),  # forward may store tensors in the module, which would be the exporter's proxies
        (example,),
        dynamo=True,
        # N and the number of channels are fixed.
        dynamic_shapes=({2: height, 3: width},),
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=OPSET,
        verbose=False,
    )
    content: bytes = program.model_proto.SerializeToString()
    return content


def _side(name: str, multiple: int) -> Any:
    # torch.export treats lengths 0 and 1 as constants, so that a dynamic length begins at 2.
    smallest = max(2, SMALLEST_SIDE // multiple)
    steps = torch.export.Dim(name, min=smallest, max=max(LARGEST_SIDE // multiple, smallest + 2))
    return steps if multiple == 1 else multiple * steps


def _session(content: bytes, threads: int) -> Any:
    """Create a session without memory arena, so that the peak memory of a forward pass can be measured.

    The process's allocator keeps freed pages in any case, so that the arena would not save time.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Operators run one after the other, as in torch.
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    # Errors only.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def _compare(session: Any, network: nn.Module, image: Tensor) -> None:
    """Raise UnsupportedError if the model differs from the network, for example because tracing fixed a value."""
    # The exporter replaces a dynamic dimension by a constant if the network's code depends on its value.
    sides = session.get_inputs()[0].shape[2:]
    if any(isinstance(side, int) for side in sides):
        _refuse(f"has a constant side in {sides[0]} x {sides[1]}")
    theirs = torch.from_numpy(session.run([OUTPUT], {INPUT: image.numpy()})[0]).float()
    ours = network(image.clone()).float()
    if theirs.shape != ours.shape:
        _refuse(f"returns shape {tuple(theirs.shape)}, not {tuple(ours.shape)}")
    # The lower bound avoids a division by zero for an output of zeros.
    gap = float((theirs - ours).abs().max() / ours.abs().max().clamp(min=1e-6))
    if not gap <= TOLERANCES[image.dtype]:  # also true for NaN
        _refuse(f"differs by {gap:.2g} relative to the largest output value")


def _refuse(what: str) -> None:
    raise UnsupportedError(
        f"the exported graph differs from the network: it {what}",
        hint="its forward does something that the export does not record; use a torch backend",
    )


def _reason(error: BaseException) -> str:
    """Return the first line of the root cause; the exporter wraps it in messages for its own developers."""
    for _ in range(_MOST_CAUSES):
        error = error.__cause__ or error
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress log messages, warnings and output of the exporter; problems of the network raise exceptions."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
