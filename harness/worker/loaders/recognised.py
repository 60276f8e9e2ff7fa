"""Bare checkpoints whose network spandrel knows by the names of its parameters."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from torch import nn

from harness.errors import SubmissionError, UnsupportedError
from harness.submissions.checkpoint import read_state_dict


def load(path: Path, scale: int) -> nn.Module:
    """Return the network that the checkpoint at ``path`` belongs to, with its weights.

    Raises
    ------
    UnsupportedError
        spandrel is not installed, does not know the network, or the network has another scale.
    SubmissionError
        The network is no upscaler of one RGB image.
    """
    try:
        spandrel: Any = importlib.import_module("spandrel")
    except ImportError as error:
        raise UnsupportedError(
            "is a bare checkpoint, and spandrel, which recognises those, is not installed",
            where=path.name,
            hint="pip install spandrel, or add arch.py and submission.toml",
        ) from error
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(read_state_dict(path))
    except spandrel.UnsupportedModelError as error:
        raise UnsupportedError(
            "is a checkpoint of no network that spandrel knows", where=path.name, hint="add arch.py and submission.toml"
        ) from error
    except (KeyError, ValueError, RuntimeError) as error:
        reason = f"looks like a network that spandrel knows, but is not ({type(error).__name__})"
        raise SubmissionError(reason, where=path.name, hint="add arch.py and submission.toml") from error
    if not isinstance(found, spandrel.ImageModelDescriptor) or (found.input_channels, found.output_channels) != (3, 3):
        raise SubmissionError("is no network from RGB to RGB", where=path.name, hint="submit an upscaler")
    if found.scale != scale:
        raise UnsupportedError(
            f"upscales by {found.scale}, not by {scale}", where=path.name, hint=f"run it at scale {found.scale}"
        )
    network: nn.Module = found.model
    return network
