"""Load programs saved by ``torch.export.save`` (``.pt2``)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from harness.errors import SubmissionError
from harness.worker.loaders.program_archive import rewritten


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


def load(path: Path, scale: int, *, trust_pickle: bool = False) -> nn.Module:
    """Return the exported program at ``path`` as a module.

    Parameters
    ----------
    path
        File that ``torch.export.save`` wrote.
    scale
        Not used: it is fixed in the exported graph.
    trust_pickle
        Whether to load the file as it is, which executes code in its pickles and its graph.

    Raises
    ------
    SubmissionError
        The file is damaged, was saved by an incompatible version of torch, or would execute code and is not trusted.
    """
    del scale
    source = path if trust_pickle else rewritten(path)
    try:
        return ExportedNetwork(torch.export.load(source).module())
    except Exception as error:  # damaged archives raise various exceptions
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SubmissionError(
            f"is no exported program that this version of torch can read: {line}",
            where=path.name,
            hint="export it again",
        ) from error
