"""Watch which operators touch data while a module runs, and count the multiply-accumulates of its convolutions.

A module that only *behaves* linearly on the inputs that were tried could hold a clamp at a large value or a branch
on its input. So a probe also asks which operators the input's data went through: all of them must be able to keep
an affine map affine. Operators on weights alone are free to be anything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

AFFINE_OPERATORS = frozenset(
    """
    convolution _convolution conv2d mkldnn_convolution _slow_conv2d_forward thnn_conv2d
    add add_ sub sub_ rsub mul mul_ div div_ neg neg_ mean sum
    cat stack concat split split_with_sizes chunk slice select narrow unbind index_select
    view _unsafe_view reshape expand permute transpose t squeeze unsqueeze flatten unfold_copy alias lift_fresh
    repeat repeat_interleave clone detach contiguous copy_ _to_copy to as_strided
    constant_pad_nd pad avg_pool2d native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm
    batch_norm pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle
    upsample_nearest2d _upsample_nearest_exact2d im2col col2im mm addmm bmm matmul einsum slice_scatter fill_ zero_
    new_zeros new_empty zeros_like empty_like roll flip linear
    """.split()
)
"""Names of operators through which an affine map of the input can pass and stay affine."""


class Audit(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Record the operators that data passes through.

    Parameters
    ----------
    data
        The input; whatever is computed from it is followed, through memory that is shared as well.

    Attributes
    ----------
    foreign
        Names of operators that data met and that are not in :data:`AFFINE_OPERATORS`.
    macs
        Multiply-accumulates of all convolutions and matrix products.
    """

    def __init__(self, data: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.foreign: set[str] = set()
        self.macs = 0
        self._memory = {data.untyped_storage().data_ptr()}
        self._kept: list[Tensor] = [data]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and look at what it was given."""
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        touched = any(tensor.untyped_storage().data_ptr() in self._memory for tensor in tensors)
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.macs += _macs(name, args, result)
        if touched:
            if name not in AFFINE_OPERATORS:
                self.foreign.add(name)
            self._follow(result)
            if name.endswith("_"):
                self._follow(args[:1])
        return result

    def _follow(self, results: Any) -> None:
        for leaf in tree_leaves(results):
            if isinstance(leaf, Tensor):
                self._memory.add(leaf.untyped_storage().data_ptr())
                self._kept.append(leaf)


def _macs(name: str, args: tuple[Any, ...], result: Any) -> int:
    if name in ("convolution", "_convolution") and isinstance(result, Tensor):
        transposed = bool(args[6])
        places = args[0] if transposed else result
        return int(places.numel() // places.shape[1] * args[1].numel())
    if name in ("mm", "bmm") and isinstance(result, Tensor):
        return int(result.numel() * args[0].shape[-1])
    if name == "addmm" and isinstance(result, Tensor):
        return int(result.numel() * args[1].shape[-1])
    return 0


@torch.no_grad()
def audit(module: nn.Module, image: Tensor) -> Audit:
    """Run a module on an image under audit.

    Parameters
    ----------
    module
        In the mode in which it is to be judged.
    image
        Its input, shape (1, C, H, W).
    """
    data = image.clone()
    watch = Audit(data)
    with watch:
        module(data)
    return watch
