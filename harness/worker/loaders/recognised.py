"""Load checkpoints without code whose architecture spandrel recognizes by the names of the parameters."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from torch import nn

from harness.errors import SubmissionError, UnsupportedError
from harness.submissions.checkpoint import read_state_dict

_HINT = "if its code lies beside it, run `harness init` on their folder; else add arch.py and submission.toml"


def load(path: Path, scale: int, *, trust_pickle: bool = False) -> nn.Module:
    """Return the network for the checkpoint at ``path``, with its weights.

    Parameters
    ----------
    path
        Checkpoint.
    scale
        Scale that the network must have.
    trust_pickle
        Whether to execute code in the checkpoint's pickle.

    Raises
    ------
    UnsupportedError
        spandrel is not installed or does not recognize the architecture, or the network has another scale.
    SubmissionError
        The network does not upscale a single RGB image.
    """
    try:
        spandrel: Any = importlib.import_module("spandrel")
    except ImportError as error:
        raise UnsupportedError(
            "is a checkpoint without code, and spandrel, which recognizes architectures, is not installed",
            where=path.name,
            hint=f"pip install spandrel, or {_HINT}",
        ) from error
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(
            read_state_dict(path, trust_pickle=trust_pickle)
        )
    except spandrel.UnsupportedModelError as error:
        raise UnsupportedError(
            "is a checkpoint of an architecture that spandrel does not recognize",
            where=path.name,
            hint=_HINT,
        ) from error
    except (KeyError, ValueError, RuntimeError) as error:
        reason = f"resembles an architecture that spandrel recognizes, but does not match it ({type(error).__name__})"
        raise SubmissionError(reason, where=path.name, hint="add arch.py and submission.toml") from error
    if not isinstance(found, spandrel.ImageModelDescriptor) or (found.input_channels, found.output_channels) != (3, 3):
        raise SubmissionError("does not map RGB to RGB", where=path.name, hint="submit an upscaler")
    if found.scale != scale:
        raise UnsupportedError(
            f"upscales by {found.scale}, not by {scale}", where=path.name, hint=f"run it at scale {found.scale}"
        )
    network: nn.Module = found.model
    return network
