"""Fill a network whose checkpoint is of another form of it: the inference form, another size, or both forms at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness.complexity.copying import copied, frozen
from harness.errors import CheckpointError, SubmissionError, UnsupportedError
from harness.reparam.author import convert
from harness.worker.arguments import Slot, parameters_of
from harness.worker.factory import Factory, values_text
from harness.worker.filling import Reading, fill, read_state
from harness.worker.shapes import values_from_shapes

FLAG_NAMES = ("deploy", "is_deploy", "use_deploy", "inference", "inference_mode", "rep", "is_rep", "reparam", "fused")
"""Names of arguments of a factory that choose between the training form and the inference form."""


@dataclass(frozen=True, slots=True)
class Form:
    """Another network that the checkpoint may fit.

    Attributes
    ----------
    network
        The network.
    note
        What it is, for the report.
    optional
        Names of tensors in the checkpoint that belong to the form that is not used.
    """

    network: nn.Module
    note: str
    optional: frozenset[str] = frozenset()


def build_filled(factory: Factory, path: Path | None, reading: Reading) -> tuple[nn.Module, list[str]]:
    """Build a network, with the arguments that its checkpoint calls for if some are unknown.

    Returns
    -------
    tuple
        The network, which is not filled yet, and remarks for the report.

    Raises
    ------
    SubmissionError
        An argument is unknown, or the factory raises.
    """
    values: dict[Slot, Any] = {}
    if factory.call.unknown and path is not None:
        state = read_state(path, None, reading)
        # The defaults of others may not be those of the checkpoint.
        values = values_from_shapes(factory, state) or values_from_shapes(factory, state, defaults=True) or {}
    network = factory.build(values)
    guessed = {slot: factory.call.arguments[slot] for slot in factory.call.guessed}
    notes = [f"called with {values_text(guessed)}, by the names of its arguments"] if guessed else []
    return network, notes + ([f"called with {values_text(values)}, read off the checkpoint"] if values else [])


def fill_other_form(
    network: nn.Module, factory: Factory, path: Path, reading: Reading, hook: str | None
) -> tuple[nn.Module, list[str]] | None:
    """Return another form of a network that a checkpoint fits, filled, with remarks; None if there is none.

    Parameters
    ----------
    network
        The network that the checkpoint does not fit.
    factory
        How it was built.
    path
        Checkpoint.
    reading
        How the checkpoint is read.
    hook
        Name of the author's method that converts the training form into the inference form, ``none`` for no conversion.
    """
    for form in _forms(network, factory, path, reading, hook):
        try:
            notes = fill(form.network, path, replace(reading, optional=form.optional), loads_itself=False)
        except CheckpointError:
            continue
        return form.network, [form.note, *notes]
    return None


def _forms(network: nn.Module, factory: Factory, path: Path, reading: Reading, hook: str | None) -> Iterator[Form]:
    yield from _flagged(factory)
    yield from _converted(network, path, reading, hook)
    try:
        values = values_from_shapes(factory, read_state(path, None, reading), defaults=True)
    except SubmissionError:
        return
    if values:
        yield Form(factory.build(values), f"called with {values_text(values)}, read off the checkpoint")


def _flagged(factory: Factory) -> Iterator[Form]:
    """Yield the network that the factory returns if a flag such as ``deploy`` has the other value."""
    for one in parameters_of(factory.function):
        slot = (one.name,)
        if one.name not in FLAG_NAMES or not isinstance(one.default, bool) or slot in factory.call.arguments:
            continue
        try:
            network = factory.build({slot: not one.default})
        except UnsupportedError:
            raise
        except SubmissionError:
            continue
        yield Form(network, f"called with {values_text({slot: not one.default})}: the checkpoint is of this form")


def _converted(network: nn.Module, path: Path, reading: Reading, hook: str | None) -> Iterator[Form]:
    """Yield the inference form that the author's method returns, and both forms if the checkpoint holds both."""
    try:
        converted = None if hook == "none" else convert(frozen(copied(network)), hook)
    except Exception:  # noqa: BLE001 -- submitted classes may raise anything when they are copied
        converted = None
    if converted is None or converted.network is None:
        return
    inference, said = (
        converted.network,
        f"the checkpoint is of the inference form; called {converted.hook} before loading",
    )
    yield Form(inference, said)
    forms = ((inference, network, f"{said}, and left out the training form"), (network, inference, _TRAINING))
    for used, other, note in forms:
        own, rest = used.state_dict(), other.state_dict()
        extra = _extra(read_state(path, own, reading), own, rest)
        if extra:
            yield Form(used, note, extra)


_TRAINING = "the checkpoint holds the training form and the inference form; loaded the training form"


def _extra(state: Mapping[str, Tensor], own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> frozenset[str]:
    """Return the tensors of a checkpoint that belong to the other form only; empty if some belong to neither."""
    extra = frozenset(state) - frozenset(own)
    return extra if extra <= frozenset(other) else frozenset()
