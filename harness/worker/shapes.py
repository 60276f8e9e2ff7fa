"""Read the arguments of a factory off the shapes of a checkpoint.

The sizes of a network's tensors, and how often its modules are numbered, mostly grow in proportion to a width or a
depth. The network is built with two values of each argument; from the difference follows the value that the checkpoint
has. All values count only if the network then has exactly the checkpoint's tensors.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.errors import SubmissionError, UnsupportedError
from harness.submissions.argument_names import CONFIG_NAMES, kind_of
from harness.submissions.checkpoint import misfits, strip_prefix
from harness.worker.arguments import Slot, needs_arguments, parameters_of
from harness.worker.factory import Factory, values_text

_PASSES = 3  # sizes may be products of two arguments
_MOST_CHOICES = 16
_START_DEPTH = 2
_MOST_WIDTHS = 3  # of a checkpoint
_COMMON_WIDTHS = (64, 32)
_SIDE = 48  # of an image that is tried, pixels
_ACTIVATIONS = ("prelu", "relu")  # the first has parameters of its own; where both fit, the checkpoint does not tell

Place = tuple[object, ...]
Sizes = Mapping[Place, int]


@dataclass(frozen=True, slots=True)
class Unknowns:
    """Arguments whose values are searched.

    Attributes
    ----------
    numbers
        Widths and depths, each with the value to begin with.
    choices
        Flags and activations, each with its possible values.
    required
        Those that the factory needs. The others have a default, which they keep if it makes no difference.
    """

    numbers: dict[Slot, int] = field(default_factory=dict)
    choices: dict[Slot, tuple[Any, ...]] = field(default_factory=dict)
    required: frozenset[Slot] = frozenset()


def values_from_shapes(
    factory: Factory, state: Mapping[str, Tensor], *, defaults: bool = False
) -> dict[Slot, Any] | None:
    """Return the only values of some arguments with which the network has exactly the tensors of a checkpoint.

    Parameters
    ----------
    factory
        How the network is built. Its unknown arguments are searched.
    state
        Tensors of the checkpoint.
    defaults
        Whether arguments with a default are searched too.

    Returns
    -------
    dict or None
        None if no values fit.

    Raises
    ------
    SubmissionError
        Several values fit, or an argument makes no difference to the shapes.
    UnsupportedError
        The factory cannot run here.
    """
    unknowns = _buildable(factory, state, defaults=defaults)
    if not unknowns.numbers and not unknowns.choices:
        return None
    found: list[dict[Slot, Any]] = []
    # For each combination the network is built several times, so their number is bounded.
    for combination in itertools.islice(itertools.product(*unknowns.choices.values()), _MOST_CHOICES):
        chosen = dict(zip(unknowns.choices, combination, strict=True))
        solved = _solved(factory, state, unknowns, chosen)
        if solved is not None:
            found.append({**chosen, **solved})
    if len(found) > 1:
        fitting = " or ".join(values_text(one) for one in found[:4])
        raise SubmissionError(f"the checkpoint fits {factory.name} with {fitting}", hint=_hint(factory, {}))
    return found[0] if found else None


def _buildable(factory: Factory, state: Mapping[str, Tensor], *, defaults: bool) -> Unknowns:
    """Return the arguments to search, each with a value to begin with: those with which the network can be built."""
    tried: list[Unknowns] = []
    for width in _usual_widths(state):
        one = _unknowns(factory, width, defaults=defaults)
        if one in tried:
            continue
        tried.append(one)
        if _built(factory, {**{slot: values[0] for slot, values in one.choices.items()}, **one.numbers}) is not None:
            return one
    return tried[0]


def _unknowns(factory: Factory, width: int, *, defaults: bool) -> Unknowns:
    unknowns = Unknowns(required=frozenset(factory.call.unknown))
    free = [one for one in parameters_of(factory.function) if (one.name,) not in factory.call.arguments]
    given: dict[Slot, int | bool] = {}
    if defaults:
        given = {(one.name,): one.default for one in free if type(one.default) in (int, bool)}
    for slot in (*factory.call.unknown, *given):
        kind, default = kind_of(slot[-1]), given.get(slot)
        if kind == "flag" and not (default is not None and type(default) is not bool):
            unknowns.choices[slot] = (False, True)
        elif kind == "activation" and default is None:
            unknowns.choices[slot] = _ACTIVATIONS
        elif _is_number(slot, required=slot not in given) and type(default) is not bool:
            # Widths that begin alike could not be told apart, or would leave nothing where one is a part of the other.
            smaller = max(1, width >> sum(kind_of(one[-1]) != "depth" for one in unknowns.numbers))
            unknowns.numbers[slot] = default or (_START_DEPTH if kind == "depth" else smaller)
    return unknowns


def _is_number(slot: Slot, *, required: bool) -> bool:
    """Return whether an argument may be a width or a depth; a required one may be, whatever its name is."""
    name, kind = slot[-1], kind_of(slot[-1])
    return kind in ("width", "depth") or (required and kind is None and name not in CONFIG_NAMES)


def _solved(
    factory: Factory, state: Mapping[str, Tensor], unknowns: Unknowns, chosen: Mapping[Slot, Any]
) -> dict[Slot, int] | None:
    values = dict(unknowns.numbers)
    for _ in range(_PASSES + 1):
        own = _built(factory, {**chosen, **values})
        if own is None:
            return None
        stripped = strip_prefix(dict(state), own)
        here = _sizes(own)
        effects = {slot: _effect(factory, slot, values, chosen, here) for slot in values}
        if misfits(stripped, own) is None:
            _check_told(factory, {**chosen, **values}, unknowns, effects, stripped)
            return values
        following = _step(values, effects, here, _sizes(stripped))
        if following == values:
            return None
        values = following
    return None


def _step(
    values: Mapping[Slot, int], effects: Mapping[Slot, Mapping[Place, float]], here: Sizes, wanted: Sizes
) -> dict[Slot, int]:
    """Return the values with which all sizes would be those of the checkpoint if they grew in proportion."""
    places = [place for place in here.keys() & wanted.keys() if any(place in one for one in effects.values())]
    if not places:
        return dict(values)
    slopes = np.array([[effects[slot].get(place, 0.0) for slot in values] for place in places])
    missing = np.array([wanted[place] - here[place] for place in places], dtype=float)
    change = np.linalg.lstsq(slopes, missing, rcond=None)[0]
    return {slot: max(1, round(values[slot] + step)) for slot, step in zip(values, change.tolist(), strict=True)}


def _check_told(
    factory: Factory,
    values: Mapping[Slot, Any],
    unknowns: Unknowns,
    effects: Mapping[Slot, Mapping[Place, float]],
    state: dict[str, Tensor],
) -> None:
    """Check that no other values fit as well: each makes a difference of its own to the shapes, or none to the image.

    Raises
    ------
    SubmissionError
        Other values fit.
    """
    lost = [slot for slot, effect in effects.items() if not effect and slot in unknowns.required]
    told = {slot: effect for slot, effect in effects.items() if effect}
    places = sorted({place for effect in told.values() for place in effect}, key=str)
    slopes = np.array([[effect.get(place, 0.0) for place in places] for effect in told.values()])
    # If the effects depend on each other, several combinations of values have the same shapes.
    if told and np.linalg.matrix_rank(slopes) < len(told):
        names = ", ".join(".".join(slot) for slot in told)
        what = f"the shapes of the checkpoint do not tell {names} of {factory.name} apart"
        raise SubmissionError(what, hint=_hint(factory, {}))
    known = {slot: values[slot] for slot in told}
    # A number in place of a text or a flag may build a network that computes something else in the same shapes.
    if unnamed := [".".join(slot) for slot in lost if kind_of(slot[-1]) is None]:
        what = f"the shapes of the checkpoint do not tell {', '.join(unnamed)} of {factory.name}"
        raise SubmissionError(what, hint=_hint(factory, known))
    _check_indifferent(factory, values, lost, state, known)


def _check_indifferent(
    factory: Factory,
    values: Mapping[Slot, Any],
    lost: Sequence[Slot],
    state: dict[str, Tensor],
    known: Mapping[Slot, int],
) -> None:
    """Check that the arguments which make no difference to the shapes make none to the image either."""
    for slot in lost:
        other = {**values, slot: 2 * values[slot]}
        images = [_image(factory, one, state) for one in (values, other)]
        if images[0] is None or images[1] is None or not torch.equal(images[0], images[1]):
            what = f"the shapes of the checkpoint do not tell {'.'.join(slot)} of {factory.name}"
            raise SubmissionError(what, hint=_hint(factory, known))


def _image(factory: Factory, values: Mapping[Slot, Any], state: dict[str, Tensor]) -> Tensor | None:
    """Return what the network makes of a small image, None if it raises or returns something else."""
    generator = torch.Generator().manual_seed(0)
    try:
        network = factory.build(values).eval()
        with torch.no_grad():
            network.load_state_dict(state)
            image = network(torch.rand(1, 3, _SIDE, _SIDE, generator=generator))
    except (Exception, SystemExit):  # noqa: BLE001 -- submitted code may raise anything; then nothing is known
        return None
    return image if isinstance(image, Tensor) else None


def _effect(
    factory: Factory, slot: Slot, values: Mapping[Slot, int], chosen: Mapping[Slot, Any], here: Sizes
) -> dict[Place, float]:
    """Return by how much sizes grow with an argument; empty if none depends on it, or if no other value is possible."""
    start = values[slot]
    # A width may have to be divisible by something, or be less than another one.
    others = (start + 1, start + 2) if kind_of(slot[-1]) == "depth" else (2 * start, start // 2, start + 4, start + 1)
    for other in filter(None, others):
        moved = _built(factory, {**chosen, **values, slot: other})
        if moved is not None:
            there = _sizes(moved)
            common = here.keys() & there.keys()
            return {
                place: (there[place] - here[place]) / (other - start) for place in common if here[place] != there[place]
            }
    return {}


def _built(factory: Factory, values: Mapping[Slot, Any]) -> dict[str, Tensor] | None:
    """Return the parameters of the network with some values, None if it cannot be built with them."""
    try:
        return dict(factory.build(values).state_dict())
    except UnsupportedError:
        raise
    except SubmissionError:  # values that exclude one another
        return None


def _sizes(state: Mapping[str, Tensor]) -> dict[Place, int]:
    """Return the lengths of all dimensions of all tensors, and how many numbers follow each name."""
    sizes: dict[Place, int] = {}
    numbered: dict[str, set[int]] = {}
    for key, tensor in state.items():
        sizes.update({(key, dimension): length for dimension, length in enumerate(tensor.shape)})
        for prefix, number in _numbers(key):
            numbered.setdefault(prefix, set()).add(number)
    return sizes | {(prefix,): len(numbers) for prefix, numbers in numbered.items()}


def _numbers(key: str) -> Iterator[tuple[str, int]]:
    # Lengths are bounded, because the names come from the submission.
    for match in re.finditer(r"\d+", key[:300]):
        if match.end() == len(key) or key[match.end()] == ".":
            yield key[: match.start()], int(match[0][:9])


def _usual_widths(state: Mapping[str, Tensor]) -> list[int]:
    """Return numbers of outputs of layers, the most frequent ones first, and widths that many networks have."""
    sizes: Sequence[int] = [tensor.shape[0] for tensor in state.values() if tensor.ndim > 1 and tensor.shape[0] > 1]
    return [size for size, _ in Counter(sizes).most_common(_MOST_WIDTHS)] + list(_COMMON_WIDTHS)


def _hint(factory: Factory, known: Mapping[Slot, int]) -> str | None:
    return needs_arguments(factory.function, factory.name, factory.call.with_values(known)).hint
