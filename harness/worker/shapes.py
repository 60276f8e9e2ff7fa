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
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from harness.errors import SubmissionError, UnsupportedError
from harness.submissions.argument_names import kind_of
from harness.submissions.checkpoint import misfits, strip_prefix
from harness.worker.arguments import Slot, needs_arguments, parameters_of
from harness.worker.factory import Factory, values_text

_PASSES = 3  # sizes may be products of two arguments
_MOST_CHOICES = 16
_START_DEPTH = 2
_SIDE = 48  # of an image that is tried, pixels
_ACTIVATIONS = ("prelu", "relu")  # the first has parameters of its own; where both fit, the checkpoint does not tell

Sizes = Mapping[tuple[object, ...], int]


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
    unknowns = _unknowns(factory, state, defaults=defaults)
    if not unknowns.numbers and not unknowns.choices:
        return None
    found: list[dict[Slot, Any]] = []
    for combination in itertools.islice(itertools.product(*unknowns.choices.values()), _MOST_CHOICES):
        chosen = dict(zip(unknowns.choices, combination, strict=True))
        solved = _solved(factory, state, unknowns, chosen)
        if solved is not None:
            found.append({**chosen, **solved})
    if len(found) > 1:
        fitting = " or ".join(values_text(one) for one in found[:4])
        raise SubmissionError(f"the checkpoint fits {factory.name} with {fitting}", hint=_hint(factory, {}))
    return found[0] if found else None


def _unknowns(factory: Factory, state: Mapping[str, Tensor], *, defaults: bool) -> Unknowns:
    width = _usual_width(state)
    unknowns = Unknowns(required=frozenset(factory.call.unknown))
    free = [one for one in parameters_of(factory.function) if (one.name,) not in factory.call.arguments]
    given = {(one.name,): one.default for one in free if type(one.default) in (int, bool)} if defaults else {}
    for slot in (*factory.call.unknown, *given):
        kind, default = kind_of(slot[-1]), given.get(slot)
        if kind == "flag" and not (default is not None and type(default) is not bool):
            unknowns.choices[slot] = (False, True)
        elif kind == "activation" and default is None:
            unknowns.choices[slot] = _ACTIVATIONS
        elif kind in ("width", "depth") and type(default) is not bool:
            unknowns.numbers[slot] = default or (width if kind == "width" else _START_DEPTH)
    return unknowns


def _solved(
    factory: Factory, state: Mapping[str, Tensor], unknowns: Unknowns, chosen: Mapping[Slot, Any]
) -> dict[Slot, int] | None:
    values = dict(unknowns.numbers)
    for _ in range(_PASSES + 1):
        own = _built(factory, {**chosen, **values})
        if own is None:
            return None
        stripped = strip_prefix(dict(state), own)
        here, wanted = _sizes(own), _sizes(stripped)
        found = {slot: _solution(factory, slot, values, chosen, here, wanted) for slot in values}
        known = {slot: value for slot, value in found.items() if value is not None}
        if misfits(stripped, own) is None:
            lost = [slot for slot, value in found.items() if value is None and slot in unknowns.required]
            _check_indifferent(factory, {**chosen, **values}, lost, stripped, known)
            return values
        values |= known
    return None


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


def _solution(
    factory: Factory,
    slot: Slot,
    values: Mapping[Slot, int],
    chosen: Mapping[Slot, Any],
    here: Sizes,
    wanted: Sizes,
) -> int | None:
    """Return the value of one argument for which the sizes that depend on it are those of the checkpoint.

    None if no size depends on it, or none that the checkpoint has.
    """
    start = values[slot]
    other = start + 1 if kind_of(slot[-1]) == "depth" else 2 * start
    moved = _built(factory, {**chosen, **values, slot: other})
    there = {} if moved is None else _sizes(moved)
    votes: Counter[int] = Counter()
    for place in here.keys() & there.keys() & wanted.keys():
        if here[place] != there[place]:
            value = start + Fraction(wanted[place] - here[place], there[place] - here[place]) * (other - start)
            if value.denominator == 1 and value > 0:
                votes[int(value)] += 1
    return votes.most_common(1)[0][0] if votes else None


def _built(factory: Factory, values: Mapping[Slot, Any]) -> dict[str, Tensor] | None:
    """Return the parameters of the network with some values, None if it cannot be built with them."""
    try:
        return dict(factory.build(values).state_dict())
    except UnsupportedError:
        raise
    except SubmissionError:  # values that exclude one another
        return None


def _sizes(state: Mapping[str, Tensor]) -> dict[tuple[object, ...], int]:
    """Return the lengths of all dimensions of all tensors, and how many numbers follow each name."""
    sizes: dict[tuple[object, ...], int] = {}
    numbered: dict[str, set[int]] = {}
    for key, tensor in state.items():
        sizes.update({(key, dimension): length for dimension, length in enumerate(tensor.shape)})
        for prefix, number in _numbers(key):
            numbered.setdefault(prefix, set()).add(number)
    return sizes | {(prefix,): len(numbers) for prefix, numbers in numbered.items()}


def _numbers(key: str) -> Iterator[tuple[str, int]]:
    for match in re.finditer(r"\d+", key[:300]):
        if match.end() == len(key) or key[match.end()] == ".":
            yield key[: match.start()], int(match[0][:9])


def _usual_width(state: Mapping[str, Tensor]) -> int:
    """Return the most frequent number of outputs of a layer."""
    sizes: Sequence[int] = [tensor.shape[0] for tensor in state.values() if tensor.ndim > 1]
    return Counter(sizes).most_common(1)[0][0] if sizes else 1


def _hint(factory: Factory, known: Mapping[Slot, int]) -> str | None:
    return needs_arguments(factory.function, factory.name, factory.call.with_values(known)).hint
