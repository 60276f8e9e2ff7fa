"""Read the width and the depth of a network off the shapes of its checkpoint, by building networks that could fit."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

from torch import Tensor

from harness.errors import SubmissionError, UnsupportedError
from harness.submissions.argument_names import kind_of
from harness.submissions.checkpoint import misfits, strip_prefix
from harness.worker.arguments import Slot, needs_arguments, parameters_of
from harness.worker.factory import Factory, values_text

_MOST_VALUES = 8  # of one argument
_MOST_NETWORKS = 100
_SEARCH_S = 20.0
_ACTIVATIONS = ("prelu", "relu")  # the first has parameters of its own; where both fit, the checkpoint does not tell


def values_from_shapes(factory: Factory, state: Mapping[str, Tensor], slots: Sequence[Slot]) -> dict[Slot, Any] | None:
    """Return the only values of some arguments with which the network has exactly the tensors of a checkpoint.

    Parameters
    ----------
    factory
        How the network is built. Its unknown arguments must be among `slots`.
    state
        Tensors of the checkpoint.
    slots
        Arguments whose values are searched.

    Returns
    -------
    dict or None
        None if no values fit, or if the time is over.

    Raises
    ------
    SubmissionError
        Several values fit, or there is an argument whose name does not say what it is.
    UnsupportedError
        The factory cannot run here.
    """
    choices = [_candidates(slot, state) for slot in slots]
    if not slots or not all(choices):
        return None
    deadline = monotonic() + _SEARCH_S
    found: list[dict[Slot, Any]] = []
    for values in itertools.islice(itertools.product(*choices), _MOST_NETWORKS):
        chosen = dict(zip(slots, values, strict=True))
        if _fits(factory, chosen, state):
            found.append(chosen)
        if monotonic() > deadline:
            break
    if len(found) > 1:
        error = needs_arguments(factory.function, factory.name, factory.call)
        fitting = " or ".join(values_text(one) for one in found[:4])
        raise SubmissionError(f"the checkpoint fits {factory.name} with {fitting}", hint=error.hint)
    return found[0] if found else None


def searchable(factory: Factory) -> list[Slot]:
    """Return the arguments with a default, which the manifest does not give, that are a width or a depth."""
    free = [one for one in parameters_of(factory.function) if (one.name,) not in factory.call.arguments]
    return [(one.name,) for one in free if type(one.default) is int and kind_of(one.name) in ("width", "depth")]


def _fits(factory: Factory, values: Mapping[Slot, Any], state: Mapping[str, Tensor]) -> bool:
    try:
        own = dict(factory.build(values).state_dict())
    except UnsupportedError:
        raise
    except SubmissionError:  # values that exclude one another
        return False
    return misfits(strip_prefix(dict(state), own), own) is None


def _candidates(slot: Slot, state: Mapping[str, Tensor]) -> Sequence[Any]:
    kind = kind_of(slot[-1])
    if kind == "width":
        return _widths(state)
    if kind == "depth":
        return _depths(state)
    return {"flag": (False, True), "activation": _ACTIVATIONS, None: ()}[kind]


def _widths(state: Mapping[str, Tensor]) -> list[int]:
    """Return sizes of the tensors' first two dimensions, the most frequent first."""
    sizes = Counter(side for tensor in state.values() if tensor.ndim for side in tensor.shape[:2] if side > 1)
    return [side for side, _ in sizes.most_common(_MOST_VALUES)]


def _depths(state: Mapping[str, Tensor]) -> list[int]:
    """Return how often modules are numbered, such as ``body.0`` to ``body.5`` or ``block1`` to ``block6``."""
    numbered: dict[str, set[int]] = {}
    for prefix, number in itertools.chain.from_iterable(map(_numbers, state)):
        numbered.setdefault(prefix, set()).add(number)
    # A module that is not repeated has one number at most; the block after the last one may belong to something else.
    lengths = Counter(length for numbers in numbered.values() for length in (len(numbers), len(numbers) - 1))
    return [length for length, _ in lengths.most_common() if length > 0][:_MOST_VALUES]


def _numbers(key: str) -> Iterator[tuple[str, int]]:
    for match in re.finditer(r"\d+", key[:300]):
        if match.end() == len(key) or key[match.end()] == ".":
            yield key[: match.start()], int(match[0][:9])
