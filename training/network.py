"""Load the network to train, and load and save its weights."""

import importlib.util
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from harness.errors import UsageError

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"


@dataclass(frozen=True, slots=True)
class Trainee:
    """Network to train, with the settings of its manifest.

    Attributes
    ----------
    value_range
        Largest pixel value of the network's input and output, 1.0 or 255.0. Images in this package are in [0, 1].
    size_multiple
        Height and width of the input must be multiples of this.
    """

    name: str
    scale: int
    network: nn.Module
    value_range: float
    size_multiple: int = 1

    def upscale(self, lr: Tensor) -> Tensor:
        """Upscale images of shape (N, 3, h, w) in [0, 1] to (N, 3, s h, s w), float32, not clamped."""
        # Pad at the bottom and right to a valid size, and crop the output accordingly.
        height, width = lr.shape[-2:]
        below, right = -height % self.size_multiple, -width % self.size_multiple
        if below or right:
            lr = functional.pad(lr, (0, right, 0, below), mode="replicate")
        output: Tensor = self.network(lr * self.value_range)
        return output[..., : height * self.scale, : width * self.scale].float() / self.value_range


def load_trainee(model: str, scale: int, submissions: Path = SUBMISSIONS) -> Trainee:
    """Build the training form of a model in `submissions` with random weights.

    Raises
    ------
    UsageError
        If there is no such model, or it does not support the scale.
    """
    root = submissions / model
    if not (root / "arch.py").is_file():
        raise UsageError(f"there is no model {model!r}", where=str(submissions), hint="use the name of a folder there")
    manifest = tomllib.loads((root / "submission.toml").read_text(encoding="utf-8"))["submission"]
    if scale not in manifest["scales"]:
        raise UsageError(f"{model} does not support scale {scale}", where=str(root / "submission.toml"))
    network = _build(root / "arch.py", scale)
    return Trainee(model, scale, network, manifest.get("value_range", 1.0), manifest.get("size_multiple", 1))


def _build(path: Path, scale: int) -> nn.Module:
    name = f"trained_{path.parent.name.replace('+', 'p').replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError("cannot import the network", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before execution, since dataclasses look their module up
    spec.loader.exec_module(module)
    network: nn.Module = module.srmodel(scale)
    return network


def weights_path(model: str, scale: int, submissions: Path = SUBMISSIONS) -> Path:
    """Return the path of the stored weights of a model; the training log has the same path with suffix ``.json``."""
    return submissions / model / "weights" / f"x{scale}.safetensors"


def save_weights(weights: dict[str, Tensor], path: Path, store: str) -> None:
    """Write weights in the precision `store`, ``float32`` or ``float16``, atomically by renaming a temporary file."""
    dtype = torch.float16 if store == "float16" else torch.float32
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    stored = {
        name: value.detach().to(dtype if value.is_floating_point() else value.dtype).contiguous()
        for name, value in weights.items()
    }
    save_file(stored, partial, metadata={"format": "pt"})
    partial.chmod(0o644)
    partial.replace(path)


def load_weights(network: nn.Module, path: Path, *, matching: bool = False) -> list[str]:
    """Load stored weights into a network and return the names of tensors that were not loaded.

    Parameters
    ----------
    network
        Network whose parameters and buffers are set.
    path
        Safetensors file.
    matching
        Load only tensors whose names and shapes agree, for example to initialize a x3 network with the body of a x2
        network. Otherwise, all names and shapes must agree.

    Raises
    ------
    UsageError
        If the file does not exist.
    """
    if not path.is_file():
        raise UsageError("there are no weights", where=str(path), hint="train the model first")
    stored = load_file(path)
    own = network.state_dict()
    # The tail's shape depends on the scale, that of the body does not.
    fits = {name: value for name, value in stored.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(fits if matching else stored, strict=not matching)
    return sorted(set(own) - set(fits))
