"""Export the measured network as a graph of torch's operators, for a process without the submission's code."""

from __future__ import annotations

import io
import math
import warnings

import torch
from torch import nn

from harness.errors import UnsupportedError

_SIDE = 48


def exported(network: nn.Module, size_multiple: int) -> bytes:
    """Return the network as ``torch.export.save`` writes it, with height and width left open.

    Parameters
    ----------
    network
        Float32, on the CPU, in eval mode.
    size_multiple
        Sides of the input must be multiples of this.

    Raises
    ------
    UnsupportedError
        The network cannot be exported: its code depends on values, or calls what is not torch.
    """
    side = math.lcm(_SIDE, size_multiple)
    sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    buffer = io.BytesIO()
    try:
        with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings(action="ignore"):
            # An oblong image, so that height and width are not taken for one size.
            program = torch.export.export(network, (torch.rand(1, 3, side, 2 * side),), dynamic_shapes=(sides,))
            torch.export.save(program, buffer)
    except Exception as error:  # submitted code may raise anything
        line = (str(error).strip().splitlines() or [""])[0][:200]
        raise UnsupportedError(f"cannot be exported ({type(error).__name__}: {line})") from error
    return buffer.getvalue()
