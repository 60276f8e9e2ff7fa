"""Write an inference form as a submission of its own: safetensors and a plain ``torch.nn`` definition."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, fx, nn

from harness.complexity.copying import copied
from harness.errors import UnsupportedError, UsageError
from harness.reparam.proof import accepted_multiple
from harness.reparam.source import source
from harness.reparam.trace import Untraceable, trace

TOLERANCE = 1e-5
"""Largest difference between the written and the given network on [0, 1]; both execute the same operations."""


def write_submission(
    network: nn.Module,
    scale: int,
    out_dir: Path,
    *,
    name: str = "collapsed",
    value_range: float = 1.0,
    size_multiple: int = 1,
) -> Path:
    """Write a network as a submission that depends on torch only.

    Parameters
    ----------
    network, scale, name, value_range, size_multiple
        As for :func:`submission_files`.
    out_dir
        Folder to create; it may exist if it is empty.

    Returns
    -------
    Path
        ``out_dir``.

    Raises
    ------
    UsageError
        If the folder is not empty.
    UnsupportedError
        If the network cannot be traced or calls functions outside torch.
    """
    if out_dir.exists() and any(out_dir.iterdir()):
        raise UsageError("the folder is not empty", where=str(out_dir), hint="name a new one with -o")
    files = submission_files(network, scale, name=name, value_range=value_range, size_multiple=size_multiple)
    for relative, content in files.items():
        path = out_dir / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return out_dir


def submission_files(
    network: nn.Module,
    scale: int,
    *,
    name: str = "collapsed",
    value_range: float = 1.0,
    size_multiple: int = 1,
) -> dict[str, bytes]:
    """Return the files of a submission that depends on torch only.

    Parameters
    ----------
    network
        Inference form in eval mode, float32, on the CPU.
    scale
        Upscaling factor.
    name
        Display name on the leaderboard.
    value_range
        Largest pixel value of the network's input and output, 1 or 255.
    size_multiple
        Declared multiple of the input's height and width. It is increased if the network requires a larger one.

    Returns
    -------
    dict[str, bytes]
        Contents of ``submission.toml``, ``arch.py`` and ``weights/x<scale>.safetensors``, by relative path.

    Raises
    ------
    UnsupportedError
        If the network cannot be traced, calls functions outside torch, or differs from the written source.
    """
    # A copy, because some networks convert themselves in their first forward pass.
    multiple = accepted_multiple(copied(network), declared=size_multiple) or size_multiple
    graph = _traced(network)
    names = _attribute_names(graph)
    text = source(graph, names, title=re.sub(r'["\\\s]+', " ", name).strip())
    tensors = _tensors(graph, names)
    _check(text, tensors, network, multiple, value_range)
    return {
        "submission.toml": _manifest(name, scale, value_range, multiple).encode(),
        "arch.py": text.encode(),
        f"weights/x{scale}.safetensors": save(tensors),
    }


def _traced(network: nn.Module) -> fx.GraphModule:
    try:
        return trace(network)
    except Untraceable as error:
        raise UnsupportedError(
            f"the network cannot be written as plain torch.nn ({error})",
            hint="its forward branches on data or assigns to slices; move this code into a submodule",
        ) from error


def _attribute_names(graph: fx.GraphModule) -> dict[str, str]:
    """Map each module or tensor path in the graph to a unique attribute name."""
    names: dict[str, str] = {}
    taken = set(dir(nn.Module()))  # an attribute called `forward` or `train` would hide the method
    for node in graph.graph.nodes:
        path = str(node.target)
        if node.op in ("call_module", "get_attr") and path not in names:
            stem = re.sub(r"\W", "_", path)
            stem = stem if stem.isidentifier() and not stem.startswith("_") else f"layer_{stem.strip('_')}"
            while stem in taken:
                stem += "_"
            taken.add(stem)
            names[path] = stem
    return names


def _tensors(graph: fx.GraphModule, names: dict[str, str]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path, name in names.items():
        parent, _, attribute = path.rpartition(".")
        value = getattr(graph.get_submodule(parent), attribute)
        if isinstance(value, Tensor):
            tensors[name] = value
        else:
            tensors |= {f"{name}.{key}": tensor for key, tensor in value.state_dict().items()}
    # safetensors rejects tensors that share memory or are not contiguous.
    return {key: tensor.detach().clone().contiguous() for key, tensor in tensors.items()}


def _check(text: str, tensors: dict[str, Tensor], network: nn.Module, multiple: int, value_range: float) -> None:
    """Build the network from its written source and raise UnsupportedError if it differs from the given one."""
    namespace: dict[str, object] = {}
    exec(compile(text, "arch.py", "exec"), namespace)  # noqa: S102  # source generated here, from names of torch only
    rebuilt = namespace["Network"]()  # type: ignore[operator]
    rebuilt.load_state_dict(tensors)
    # The smallest multiples of at least 24 and 33 pixels: small, not square, and larger than common kernels.
    sides = (multiple * -(-24 // multiple), multiple * -(-33 // multiple))
    image = torch.rand(1, 3, *sides, generator=torch.Generator().manual_seed(0)) * value_range
    with torch.no_grad():
        gap = (rebuilt.eval()(image.clone()) - copied(network)(image.clone())).abs().max().item()
    if not gap <= TOLERANCE * value_range:  # also true for NaN
        raise UnsupportedError(
            f"the written network differs from the given one by {gap:.2g}",
            hint="its forward does something that tracing does not record; keep the original submission",
        )


def _manifest(name: str, scale: int, value_range: float, size_multiple: int) -> str:
    quoted = json.dumps(" ".join(name.split()), ensure_ascii=False)
    lines = [
        "[submission]",
        f"name = {quoted}",
        f"scales = [{scale}]",
        'factory = "arch:srmodel"',
        f"value_range = {value_range:.1f}",
        f"size_multiple = {size_multiple}",
        'reparameterize = "none"',
        "",
        "[weights]",
        f'x{scale} = "weights/x{scale}.safetensors"',
        "",
    ]
    return "\n".join(lines)
