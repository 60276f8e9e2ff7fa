"""Programs that ``torch.export.save`` wrote (``.pt2``)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from harness.errors import SubmissionError


class ExportedNetwork(nn.Module):
    """The module of an exported program; it was exported in eval mode, which it cannot leave."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def train(self, mode: bool = True) -> Self:
        """Note the mode; an exported graph raises where it is asked to change."""
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
        The file is damaged or of another version of torch.
    """
    del scale  # the graph has the one it was exported with
    try:
        program = torch.export.load(path)
        return ExportedNetwork(program.module())
    except Exception as error:  # a damaged archive raises whatever its parts lead to
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SubmissionError(
            f"is no exported program that this torch reads: {line}", where=path.name, hint="export it again"
        ) from error
