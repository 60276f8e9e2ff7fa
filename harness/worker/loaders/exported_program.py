"""Load programs saved by ``torch.export.save`` (``.pt2``)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from harness.errors import SubmissionError


class ExportedNetwork(nn.Module):
    """Wrapper of an exported program. The program was exported in eval mode, which is fixed in its graph."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def train(self, mode: bool = True) -> Self:
        """Set the ``training`` flags only; ``train`` and ``eval`` of an exported module raise NotImplementedError."""
        self.training = mode
        for module in self.program.modules():
            module.training = mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Upscale N x 3 x H x W."""
        output: Tensor = self.program(x)
        return output


def load(path: Path, scale: int) -> nn.Module:
    """Return the exported program at ``path`` as a module.

    Raises
    ------
    SubmissionError
        The file is damaged or was saved by an incompatible version of torch.
    """
    del scale  # fixed in the exported graph
    try:
        program = torch.export.load(path)
        return ExportedNetwork(program.module())
    except Exception as error:  # damaged archives raise various exceptions
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SubmissionError(
            f"is no exported program that this version of torch can read: {line}",
            where=path.name,
            hint="export it again",
        ) from error
