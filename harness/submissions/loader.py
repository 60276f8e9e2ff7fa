"""Build a submission's network and fill in its weights. Runs in a worker: it executes submitted code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import CheckpointError, SubmissionError, UnsupportedError
from harness.submissions import requirements
from harness.submissions.checkpoint import GIB, misfits, read_state_dict
from harness.submissions.contract import scale_of
from harness.submissions.importing import describe, import_symbol, place_of
from harness.submissions.loaders import PREFIX, get_loader
from harness.submissions.manifest import FILE_NAME, read_manifest
from harness.submissions.opened_files import recorded
from harness.submissions.process_state import preserved, without_cuda

SCALE_NAMES = ("scale", "upscale", "upscale_factor", "upscaling_factor", "scale_factor", "sr_rate", "sf", "factor", "r")
"""What factories call the upscaling factor."""


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
            network = _from_code(root, factory, scale, weights, limit_bytes, trust_pickle, notes)
        _settle(network, root, notes)
        if not (root / FILE_NAME).is_file():
            _check_scale(network, scale, root)
    return Loaded(network, notes)


def _open_file(name: str, root: Path, scale: int, weights: Path | None) -> nn.Module:
    if weights is None:
        raise SubmissionError(
            f"{PREFIX}{name} needs a file for x{scale}", where=str(root), mend=f"name it under [weights] as x{scale}"
        )
    return get_loader(name)(root / weights, scale)


def _from_code(
    root: Path,
    factory: str,
    scale: int,
    weights: Path | None,
    limit_bytes: int,
    trust_pickle: bool,
    notes: list[str],
) -> nn.Module:
    with recorded() as opened:
        network = _build(import_symbol(root, factory), root, factory, scale)
    if weights is not None:
        path = root / weights
        # The layout without manifest asks the factory to load its checkpoint; elsewhere that is the harness's part.
        loads_itself = path in opened and not (root / FILE_NAME).is_file()
        state = _weights(network, path, limit_bytes, trust_pickle, notes, loads_itself)
        if state is not None:
            _fill(network, state, path, notes)
    return network


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
            f"upscales by {actual}, not by {scale}", where=str(root), mend=f"run it at scale {actual}"
        )


def _build(factory: Any, root: Path, name: str, scale: int) -> nn.Module:
    if not callable(factory):
        raise SubmissionError(
            f"{name} is a {type(factory).__name__}, not a function", where=str(root), mend="set factory to a callable"
        )
    arguments, keywords = call_for(factory, name, scale)
    try:
        network = factory(*arguments, **keywords)
    except (Exception, SystemExit) as error:
        raise SubmissionError(
            f"{name} raised {describe(error)}",
            where=place_of(error, root) or str(root),
            mend=f"it was called as {_shown(name, arguments, keywords)}",
        ) from error
    if not isinstance(network, nn.Module):
        raise SubmissionError(
            f"{name} returned a {type(network).__name__}, not a torch.nn.Module",
            where=str(root),
            mend="return the network itself",
        )
    return network


def _shown(name: str, arguments: tuple[int, ...], keywords: dict[str, int]) -> str:
    inner = [str(value) for value in arguments] + [f"{key}={value}" for key, value in keywords.items()]
    return f"{name.partition(':')[2]}({', '.join(inner)})"


def call_for(factory: Callable[..., Any], name: str, scale: int) -> tuple[tuple[int, ...], dict[str, int]]:
    """Return the arguments with which ``factory`` is called for ``scale``, from its signature.

    A parameter that is named like a scale gets it; a single required parameter of another name gets it too;
    without either the factory is called without arguments.

    Raises
    ------
    SubmissionError
        The factory requires more than the scale.
    """
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (ValueError, TypeError):  # a builtin without a signature
        return (), {}
    named = next((p for alias in SCALE_NAMES for p in parameters if p.name == alias and p.kind not in _STARRED), None)
    required = [p for p in parameters if p.default is p.empty and p.kind not in _STARRED]
    if named is None and len(required) == 1:
        named = required[0]
    if any(p is not named for p in required):
        raise SubmissionError(
            f"{name} needs the arguments {', '.join(p.name for p in required)}",
            mend="give all but the scale a default: srmodel(scale=2)",
        )
    if named is None:
        return (), {}
    return ((scale,), {}) if named.kind is named.POSITIONAL_ONLY else ((), {named.name: scale})


_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _weights(
    network: nn.Module, path: Path, limit_bytes: int, trust_pickle: bool, notes: list[str], loaded_itself: bool
) -> dict[str, Tensor] | None:
    own = network.state_dict()
    try:
        state = read_state_dict(path, expected=own.keys(), limit_bytes=limit_bytes, trust_pickle=trust_pickle)
    except CheckpointError:
        if not loaded_itself:
            raise
        state = None
    if loaded_itself and (state is None or misfits(state, own)):
        notes.append(f"the factory loads {path.name} itself, in a form that the harness could not check")
        return None
    return state


def _fill(network: nn.Module, state: dict[str, Tensor], path: Path, notes: list[str]) -> None:
    own = dict(network.state_dict())
    misfit = misfits(state, own)
    try:
        result = _load_strictly(network, state)
    except Exception as error:  # submitted classes override load_state_dict
        reason = misfit or describe(error)
        raise CheckpointError(f"does not fit the network: {reason}", where=str(path), mend=_MEND_MISFIT) from error
    if misfit and _overrides_loading(network) and not _converts(network, own):
        raise CheckpointError(f"does not fit the network: {misfit}", where=str(path), mend=_MEND_MISFIT)
    if misfit:
        notes.append(f"the checkpoint is converted while it is loaded ({misfit[:200]})")
    if missing := getattr(result, "missing_keys", None):
        raise CheckpointError(f"leaves {len(missing)} parameters unset: {', '.join(missing[:8])}", where=str(path))


_MEND_MISFIT = "save the state dict of exactly the network that the factory returns"


def _load_strictly(network: nn.Module, state: dict[str, Tensor]) -> Any:
    with torch.no_grad():
        try:
            return network.load_state_dict(state, strict=True)
        except TypeError:  # an override without the argument
            return network.load_state_dict(state)


def _overrides_loading(network: nn.Module) -> bool:
    """Return whether the submission's own code takes part in filling it: torch's own is strict when told to be."""
    if type(network).load_state_dict is not nn.Module.load_state_dict:
        return True
    return any(
        type(module)._load_from_state_dict is not nn.Module._load_from_state_dict
        and not type(module).__module__.startswith("torch.")
        for module in network.modules()
    )


def _converts(network: nn.Module, own: dict[str, Tensor]) -> bool:
    """Return whether the network changed its own form while it was filled, as some reparameterize there."""
    return set(network.state_dict()) != set(own)


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
            mend="mend the overridden method",
        ) from error
    stuck = [module for module in network.modules() if module.training]
    if stuck:
        notes.append(f"{len(stuck)} modules stayed in training mode after eval(); switched")
        for module in stuck:
            module.training = False
