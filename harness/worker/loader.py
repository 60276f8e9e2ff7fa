"""Load a submission's network, ready to measure. Runs in a worker: it executes submitted code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from harness.errors import SubmissionError, UnsupportedError
from harness.submissions import requirements
from harness.submissions.checkpoint import GIB
from harness.submissions.loaders import LOADERS, PREFIX
from harness.submissions.manifest import FILE_NAME, read_manifest
from harness.worker.contract import scale_of
from harness.worker.factory import build_network
from harness.worker.filling import fill
from harness.worker.importing import describe, place_of
from harness.worker.opened_files import recorded
from harness.worker.process_state import preserved, without_cuda


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network that is ready to run, and what a reader should know of how it got so."""

    network: nn.Module
    notes: list[str] = field(default_factory=list)


def load_network(root: Path, factory: str, scale: int, weights: Path | None) -> nn.Module:
    """Return the network of a submission: float32, on the CPU, in eval mode, without gradients.

    Parameters
    ----------
    root
        The submission's folder.
    factory
        ``module:callable``, called as ``f()`` or ``f(scale)`` by its signature.
    weights
        Checkpoint, relative to ``root`` or absolute; None leaves what the factory made.

    Raises
    ------
    SubmissionError
        The code does not import, the factory fails or gives something else than an ``nn.Module``.
    CheckpointError
        The weights are unreadable or do not fit.
    UnsupportedError
        A package that the code imports is missing.
    """
    return load(root, factory, scale, weights).network


def load(
    root: Path,
    factory: str,
    scale: int,
    weights: Path | None,
    *,
    limit_bytes: int = 4 * GIB,
    trust_pickle: bool = False,
) -> Loaded:
    """Do what :func:`load_network` does, and return the remarks with the network."""
    root = root.resolve()
    notes = _check_requirements(root)
    with preserved(root, notes), without_cuda(notes):
        if factory.startswith(PREFIX):
            network = _open_file(factory.removeprefix(PREFIX), root, scale, weights)
        else:
            with recorded() as opened:
                network = build_network(root, factory, scale)
            if weights is not None:
                path = root / weights
                # The layout without manifest asks the factory to load its checkpoint; else that is done here.
                itself = path in opened and not (root / FILE_NAME).is_file()
                notes += fill(network, path, limit_bytes=limit_bytes, trust_pickle=trust_pickle, loads_itself=itself)
        _settle(network, root, notes)
        if not (root / FILE_NAME).is_file():
            _check_scale(network, scale, root)
    return Loaded(network, notes)


def _open_file(name: str, root: Path, scale: int, weights: Path | None) -> nn.Module:
    if weights is None:
        raise SubmissionError(
            f"{PREFIX}{name} needs a file for x{scale}", where=str(root), hint=f"name it under [weights] as x{scale}"
        )
    return LOADERS.get(name)(root / weights, scale)


def _check_requirements(root: Path) -> list[str]:
    """Refuse what the manifest requires and lacks; only remark what ``requirements.txt``, often a whole dump, lists."""
    if (root / FILE_NAME).is_file():
        requirements.check(read_manifest(root).requires, str(root / FILE_NAME))
    lacking = requirements.unmet(requirements.read_requirements(root))
    shown = f"{', '.join(lacking[:5])}{' ...' if len(lacking) > 5 else ''}"
    return [f"{requirements.FILE_NAME} asks for {shown}; measured without"] if lacking else []


def _check_scale(network: nn.Module, scale: int, root: Path) -> None:
    """Refuse a network of another scale where nothing but the network itself says which one it has."""
    actual = scale_of(network)
    if actual is not None and actual != scale:
        raise UnsupportedError(
            f"upscales by {actual}, not by {scale}", where=str(root), hint=f"run it at scale {actual}"
        )


def _settle(network: nn.Module, root: Path, notes: list[str]) -> None:
    try:
        network.cpu()
        kinds = {p.dtype for p in (*network.parameters(), *network.buffers()) if p.is_floating_point()}
        if kinds - {torch.float32}:
            notes.append(f"parameters were stored as {', '.join(sorted(map(str, kinds)))}; measured from float32")
            network.float()
        network.eval()
        network.requires_grad_(False)
    except (Exception, SystemExit) as error:
        raise SubmissionError(
            f"eval() raised {describe(error)}",
            where=place_of(error, root) or str(root),
            hint="mend the overridden method",
        ) from error
    stuck = [module for module in network.modules() if module.training]
    if stuck:
        notes.append(f"{len(stuck)} modules stayed in training mode after eval(); switched")
        for module in stuck:
            module.training = False
