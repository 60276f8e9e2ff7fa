"""Parameters and operations of a caller's network: ``harness.complexity``."""

from __future__ import annotations

from torch import nn

from harness.api.live_networks import Size, checked_count, checked_size, in_eval_mode
from harness.complexity.count import Complexity, count


def complexity(module: nn.Module, size: Size = (1080, 1920), *, size_multiple: int = 1) -> Complexity:
    """Count parameters, multiply-accumulates (MACs) and activations of one forward pass.

    Parameters
    ----------
    module
        Maps 1 x 3 x H x W to an upscaled image. Its form is counted as it is; see :func:`harness.reparameterize`.
    size
        Height and width of the input. By default that of the real-time track for 4K output at scale 2.
    size_multiple
        Height and width are rounded up to multiples of this.

    Returns
    -------
    Complexity
        ``params``, ``macs`` (a FLOP count is twice that), ``activations``, ``macs_ntire23``, ``layers``, and
        ``incomplete_ops``: what could not be counted, so that the counts are lower bounds.

    Raises
    ------
    UsageError
        The size or the multiple is not positive.
    """
    height, width = checked_size(size)
    multiple = checked_count(size_multiple, "size multiple")
    with in_eval_mode(module):
        return count(module, (1, 3, height, width), size_multiple=multiple)
