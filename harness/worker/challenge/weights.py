"""Load the checkpoint of a branch as strictly as its script does, and say what it leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from harness.errors import CheckpointError
from harness.submissions.challenge.values import Load
from harness.submissions.checkpoint import read_weights
from harness.worker.filling import Reading, fill
from harness.worker.importing import describe

_MAX_LISTED = 4
_CHOICE = "(weights_key chooses)"
"""Part of the remark of :mod:`harness.submissions.state_dicts` on a checkpoint that holds several weights that fit."""


class NothingLoadedError(CheckpointError):
    """A checkpoint has no weight of the network. The script would continue with random weights."""


def load(network: nn.Module, step: Load, root: Path, reading: Reading, notes: list[str]) -> None:
    """Load a checkpoint into a network, and add remarks.

    Parameters
    ----------
    network
        The network.
    step
        What the script says.
    root
        The repository.
    reading
        How checkpoints are read; its key is that of the script if the script applies one.
    notes
        Receives remarks.

    Raises
    ------
    CheckpointError
        The checkpoint cannot be read, or does not fit although the script is strict.
    NothingLoadedError
        It has no weight of the network, which the script is not strict about.
    """
    path = root / step.checkpoint.path
    key = "/".join(step.checkpoint.keys) if step.checkpoint.keys else None
    own_reading = Reading(reading.limit_bytes, reading.trust_pickle, key)
    if step.strict:
        found = fill(network, path, own_reading, loads_itself=False)
    else:
        found = _load_loosely(network, path, own_reading)
    if step.checkpoint.keys is None and any(_CHOICE in note for note in found):
        what = f"holds several weights that fit, of which the script chooses when it runs: {'; '.join(found)[:200]}"
        raise CheckpointError(what, where=str(path), hint="name the key in the script")
    notes += [note for note in found if key is None or _CHOICE not in note]


def _load_loosely(network: nn.Module, path: Path, reading: Reading) -> list[str]:
    """Load what fits by name, as ``load_state_dict(..., strict=False)`` does, and return remarks."""
    own = dict(network.state_dict())
    weights = read_weights(
        path, expected=own, limit_bytes=reading.limit_bytes, trust_pickle=reading.trust_pickle, key=reading.key
    )
    common = own.keys() & weights.tensors.keys()
    if not common and own:
        what = f"holds none of the {len(own)} parameters of the network, and strict=False hides it"
        raise NothingLoadedError(what, where=str(path), hint="save the state dict of the network")
    try:
        with torch.no_grad():
            network.load_state_dict(weights.tensors, strict=False)
    except Exception as error:  # submitted classes override load_state_dict
        raise CheckpointError(f"does not fit the network: {describe(error)}", where=str(path)) from error
    differences = _differences(path.name, sorted(own.keys() - common), sorted(weights.tensors.keys() - common))
    return [*weights.notes, *differences]


def _differences(file: str, missing: Sequence[str], unexpected: Sequence[str]) -> list[str]:
    found = []
    if missing:
        found.append(f"{len(missing)} parameters of the network are not in it ({_listed(missing)})")
    if unexpected:
        found.append(f"{len(unexpected)} of its parameters are not in the network ({_listed(unexpected)})")
    return [f"{file} is loaded with strict=False: {'; '.join(found)}"] if found else []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:60] for name in names[:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "")
