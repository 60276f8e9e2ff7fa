"""The inference form of a caller's network: ``harness.reparameterize``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.api.live_networks import checked_count, checked_range, place_of, set_to_eval, usual_defaults
from harness.complexity.copying import copied
from harness.errors import UsageError
from harness.reparam import reparameterize as convert

if TYPE_CHECKING:
    from harness.results.schema import Reparam


def reparameterize(
    module: nn.Module,
    example: Tensor | None = None,
    *,
    hook: str | None = None,
    value_range: float = 1.0,
    size_multiple: int = 1,
) -> tuple[nn.Module, Reparam]:
    """Convert a network's training form to its inference form, and prove that both give the same image.

    Parameters
    ----------
    module
        Network; it is not changed.
    example
        Photographs for the comparison, N x 3 x H x W, floating point in [0, value_range]; noise and structured images
        are compared in any case.
    hook
        Name of the author's method; None searches for the usual names.
    value_range
        Value of white in the network's input and output, 1 or 255.
    size_multiple
        Height and width of an input must be multiples of this.

    Returns
    -------
    tuple
        The inference form, in evaluation mode, on the device and in the dtype of `module`, all of whose parameters
        require gradients if any of `module` does; and the proof: ``method``
        (``none`` if nothing was converted), ``params_before``, ``params_after``, ``max_abs_error`` on [0, 1] and
        ``notes``.

    Raises
    ------
    UsageError
        The example is no batch of images, the network cannot be copied, or a number is not one of those above.
    """
    white, multiple = checked_range(value_range), checked_count(size_multiple, "size multiple")
    device, dtype = place_of(module)
    try:
        # Compared in float32: lower precision would hide differences or add some.
        training_form = copied(module).to("cpu", torch.float32)
        set_to_eval(training_form)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"the network cannot be copied ({reason})", hint="detach what it stores, or load it anew"
        ) from error
    frames = _frames(example)
    with torch.no_grad(), usual_defaults():
        outcome = convert(training_form, hook=hook, frames=frames, value_range=white, size_multiple=multiple)
    form = outcome.network.to(device, dtype)
    set_to_eval(form)
    if form is not training_form:
        # Parameters that the conversion made need gradients no less than those that it left.
        trainable = any(parameter.requires_grad for parameter in module.parameters())
        for parameter in form.parameters():
            parameter.requires_grad_(trainable and parameter.is_floating_point())
    return form, outcome.record


def _frames(example: Tensor | None) -> list[Tensor]:
    """Return the images of a batch, each 1 x 3 x H x W, float32, on the CPU."""
    if example is None:
        return []
    if example.ndim != 4 or example.shape[1] != 3 or not example.numel() or not example.is_floating_point():
        raise UsageError(f"the example has shape {tuple(example.shape)}", hint="pass N x 3 x H x W, floating point")
    return list(torch.split(example.detach().to("cpu", torch.float32), 1))
