"""Find the class of a model file whose parameters are those of a checkpoint, and load it."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

from torch import nn

from harness.errors import CheckpointError, SubmissionError, UnsupportedError
from harness.submissions.checkpoint import misfits, read_weights
from harness.submissions.pairs import module_of
from harness.worker.arguments import call_for
from harness.worker.challenge.real_names import import_module, use_repository
from harness.worker.factory import Factory
from harness.worker.filling import Reading, fill
from harness.worker.forms import build_filled


def build_pair(root: Path, name: str, scale: int, weights: Path, reading: Reading) -> tuple[nn.Module, list[str]]:
    """Return the network of a model file with the weights of a checkpoint, and remarks.

    Parameters
    ----------
    root
        Folder of both files. It must be the working directory.
    name
        Names the module, see :data:`harness.submissions.pairs.PREFIX`.
    scale
        Upscaling factor, for classes that take it.
    weights
        Checkpoint.
    reading
        How it is read.

    Raises
    ------
    SubmissionError
        The module raises, or the checkpoint has the parameters of none of its classes.
    UnsupportedError
        A package is not installed.
    """
    use_repository(root)
    module = import_module(module_of(name), root)
    classes = _networks(module)
    if not classes:
        what = f"{module.__name__} defines no class of a network"
        raise SubmissionError(what, where=module.__name__, hint="add submission.toml with its factory")
    reasons = []
    for one in classes:
        try:
            factory = Factory(root, one.__name__, one, call_for(one, one.__name__, scale))
            network, remarks = build_filled(factory, weights, reading)
            misfit = _misfit(network, weights, reading)
        except UnsupportedError:
            raise
        except SubmissionError as error:
            misfit = error.what
        if misfit is None:
            notes = fill(network, weights, reading, loads_itself=False)
            return network, [*_choice(one, classes), *remarks, *notes]
        reasons.append(f"{one.__name__}: {misfit[:200]}")
    raise CheckpointError(
        f"fits no class of {module.__name__} ({'; '.join(reasons[:3])})",
        where=weights.name,
        hint="add submission.toml with the class, or with a function that passes its arguments, as factory",
    )


def _networks(module: ModuleType) -> list[type[nn.Module]]:
    """Return the classes of networks that a module defines, the last first: parts are defined before the whole."""
    found = [
        one
        for one in list(vars(module).values())
        # Classes that the module only imports belong to another one.
        if isinstance(one, type) and issubclass(one, nn.Module) and one.__module__ == module.__name__
    ]
    return list(dict.fromkeys(reversed(found)))


def _misfit(network: nn.Module, weights: Path, reading: Reading) -> str | None:
    own = dict(network.state_dict())
    if not own:
        return "it has no parameters"
    read = read_weights(weights, expected=own, limit_bytes=reading.limit_bytes, trust_pickle=reading.trust_pickle)
    return misfits(read.tensors, own)


def _choice(one: type[nn.Module], classes: list[type[nn.Module]]) -> list[str]:
    if len(classes) == 1:
        return []
    signature = ", ".join(inspect.signature(one).parameters)
    return [f"{one.__name__}({signature}) has the parameters of the checkpoint; {len(classes)} classes were considered"]
