"""Which form of a network is measured: the author's inference form where it is right, else the original."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from harness.reparam import author
from harness.reparam.author import AuthorForm
from harness.reparam.outcome import Outcome, parameter_count
from harness.reparam.proof import Difference, ProofImage, accepted_multiple, difference, outputs, proof_images
from harness.results.schema import Reparam

AUTHOR_TOLERANCE = 1e-3
"""Largest error of an author's inference form on [0, 1]: a quarter of a step of 8 bits."""

REMARKABLE = 1e-4
"""An accepted author's form whose error is larger than this is named in the notes."""


def reparameterize(
    network: nn.Module,
    *,
    hook: str | None = None,
    frames: Sequence[Tensor] = (),
    value_range: float = 1.0,
    size_multiple: int = 1,
) -> Outcome:
    """Turn a training form into its inference form, and prove that both give the same image.

    Parameters
    ----------
    network
        In eval mode, float32, on the CPU; it is never changed.
    hook
        The author's method as the manifest names it; None looks for the field's usual names; ``"none"``
        leaves the network as it is.
    frames
        Photographs for the comparison, each of shape (1, 3, H, W), float32, in ``[0, value_range]``.
    value_range
        The largest pixel value that the network takes and gives, 1 or 255.
    size_multiple
        Height and width must be multiples of this.

    Returns
    -------
    Outcome
        The network to measure (the given object where nothing changed) and the record.
    """
    if hook == "none":
        return _kept(network, ["switched off by the manifest"])
    images = _images(network, frames, size_multiple, value_range)
    if not images:
        return _kept(network, ["the network takes none of the sizes on which two forms are compared"])
    form = _author_form(network, hook, images[0])
    if form.network is None:
        return _kept(network, [form.note] if form.note else [])
    gap = _compare(network, form.network, images, value_range)
    if isinstance(gap, str) or gap.largest > AUTHOR_TOLERANCE:
        return _kept(network, [f"the author's {form.hook} is wrong: {_reason(gap)}; the training form is kept"])
    notes = [f"the author's {form.hook} differs by {gap}"] if gap.largest > REMARKABLE else []
    record = Reparam(
        method=f"author: {form.hook}",
        params_before=parameter_count(network),
        params_after=parameter_count(form.network),
        max_abs_error=gap.largest,
        notes=notes,
    )
    return Outcome(form.network, record)


def _kept(network: nn.Module, notes: list[str]) -> Outcome:
    params = parameter_count(network)
    return Outcome(network, Reparam(method="none", params_before=params, params_after=params, notes=notes))


def _images(network: nn.Module, frames: Sequence[Tensor], multiple: int, value_range: float) -> list[ProofImage]:
    found = accepted_multiple(copy.deepcopy(network), declared=multiple)
    return proof_images(frames, multiple=found, value_range=value_range) if found else []


def _author_form(network: nn.Module, hook: str | None, image: ProofImage) -> AuthorForm:
    """Give what the author's method makes; some training forms convert themselves in their first forward."""
    form = author.convert(network, hook)
    if form.network is not None or hook is not None:
        return form
    called = copy.deepcopy(network)
    outputs(called, [image])
    return form if parameter_count(called) == parameter_count(network) else AuthorForm(called, "first forward")


def _compare(
    network: nn.Module, converted: nn.Module, images: list[ProofImage], value_range: float
) -> Difference | str:
    """Give the difference, or the exception of the converted form in words."""
    expected = [outputs(copy.deepcopy(network), [image])[0] for image in images]
    try:
        actual = outputs(copy.deepcopy(converted), images)
    except Exception as error:  # noqa: BLE001  # foreign code raises anything, and it becomes a remark
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return difference(expected, actual, images, value_range=value_range)


def _reason(gap: Difference | str) -> str:
    return f"it raises {gap}" if isinstance(gap, str) else f"error {gap}"
