"""Load a checkpoint into a network strictly, even if the network overrides ``load_state_dict`` to be lenient."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import CheckpointError
from harness.submissions.checkpoint import GIB, misfits, read_weights
from harness.worker.importing import describe

_HINT = "save the state dict of exactly the network that the factory returns"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a checkpoint is read; see :func:`harness.submissions.checkpoint.read_weights`."""

    limit_bytes: int = 4 * GIB
    trust_pickle: bool = False
    key: str | None = None
    optional: frozenset[str] = frozenset()
    """Names of tensors that belong to another form of the network and may be left out."""


def fill(network: nn.Module, path: Path, reading: Reading, *, loads_itself: bool) -> list[str]:
    """Load the checkpoint at ``path`` into ``network`` and return remarks for the report.

    Parameters
    ----------
    network
        The network that the factory returned.
    path
        Checkpoint file.
    reading
        How it is read.
    loads_itself
        Whether the factory opened the file itself. A mismatch is then a remark and not an error, because the factory
        may use a format of its own.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint, or has missing, unexpected or differently shaped parameters.
    """
    own = dict(network.state_dict())  # before loading, which may change the keys
    try:
        state, notes = _read(path, own, reading)
        state = {name: tensor for name, tensor in state.items() if name in own or name not in reading.optional}
        misfit = misfits(state, own)
    except CheckpointError:
        if not loads_itself:
            raise
        state, notes, misfit = {}, [], "unreadable"
    if misfit and loads_itself:
        return [f"the factory loads {path.name} itself, in a form that the harness could not check"]
    return notes + _load(network, own, state, misfit, path)


def read_state(path: Path, own: Collection[str] | None, reading: Reading) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint that come closest to the parameters `own`; the usual ones if it is None.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint.
    """
    return _read(path, own, reading)[0]


def _read(path: Path, own: Collection[str] | None, reading: Reading) -> tuple[dict[str, Tensor], list[str]]:
    """Read the checkpoint and return it with remarks; execute its pickled code only if there is no other way."""
    limit_bytes, key = reading.limit_bytes, reading.key
    try:
        weights = read_weights(path, expected=own, limit_bytes=limit_bytes, key=key)
    except CheckpointError:
        if not reading.trust_pickle:
            raise
    else:
        return weights.tensors, weights.notes
    weights = read_weights(path, expected=own, limit_bytes=limit_bytes, trust_pickle=True, key=key)
    return weights.tensors, [f"reading {path.name} executed code from its pickle (--trust-pickle)", *weights.notes]


def _load(
    network: nn.Module, own: dict[str, Tensor], state: dict[str, Tensor], misfit: str | None, path: Path
) -> list[str]:
    try:
        result = _load_strictly(network, state)
    except Exception as error:  # submitted classes override load_state_dict
        reason = misfit or describe(error)
        raise CheckpointError(f"does not fit the network: {reason}", where=str(path), hint=_HINT) from error
    # An override may ignore mismatches and leave parameters at their random initialization without any error.
    if misfit and _overrides_loading(network) and not _converts(network, own):
        raise CheckpointError(f"does not fit the network: {misfit}", where=str(path), hint=_HINT)
    if missing := getattr(result, "missing_keys", None):
        what = f"leaves {len(missing)} parameters unset: {', '.join(missing[:8])}"
        raise CheckpointError(what, where=str(path), hint=_HINT)
    return [f"the checkpoint is converted while it is loaded ({misfit[:200]})"] if misfit else []


def _load_strictly(network: nn.Module, state: dict[str, Tensor]) -> Any:
    with torch.no_grad():
        try:
            return network.load_state_dict(state, strict=True)
        except TypeError:  # an override without the argument
            return network.load_state_dict(state)


def _overrides_loading(network: nn.Module) -> bool:
    """Return whether submitted code takes part in loading; only torch's own implementation is known to be strict."""
    if type(network).load_state_dict is not nn.Module.load_state_dict:
        return True
    return any(
        type(module)._load_from_state_dict is not nn.Module._load_from_state_dict
        and not type(module).__module__.startswith("torch.")
        for module in network.modules()
    )


def _converts(network: nn.Module, own: dict[str, Tensor]) -> bool:
    """Return whether loading changed the network's own parameters, as in networks that reparameterize themselves."""
    return set(network.state_dict()) != set(own)
