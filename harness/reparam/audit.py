"""Record the operators applied to the input of a module, and count the MACs of its convolutions.

A module that is linear on all tested inputs may still contain a clamp at a large value or a branch on its input.
Therefore the probe also requires that every operator applied to data derived from the input preserves affine maps.
Operators applied to weights only are not restricted.
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
"""Names of the ATen operators that can map an affine function of the input to an affine function."""


class Audit(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Record the operators that are applied to the input and to everything computed from it.

    Parameters
    ----------
    data
        The input. Tensors derived from it are identified by their storage, so that views are included.

    Attributes
    ----------
    non_affine
        Names of operators applied to such tensors that are not in :data:`AFFINE_OPERATORS`.
    macs
        Multiply-accumulates of all convolutions and matrix products.
    """

    def __init__(self, data: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.non_affine: set[str] = set()
        self.macs = 0
        self._storages = {data.untyped_storage().data_ptr()}
        # Keep every derived tensor alive: the allocator may otherwise reuse its address for an unrelated tensor.
        self._alive: list[Tensor] = [data]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Execute an operator and record it if one of its arguments derives from the input."""
        # Identify data by storage, not by object: views and in-place results are new tensor objects on the same
        # storage.
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        touched = any(tensor.untyped_storage().data_ptr() in self._storages for tensor in tensors)
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        # Counted for weights, too: merging them in each forward pass is a cost that the collapse saves.
        self.macs += _macs(name, args, result)
        if touched:
            if name not in AFFINE_OPERATORS:
                self.non_affine.add(name)
            self._mark(result)
            if name.endswith("_"):  # in-place: the first argument now holds derived data, even if it was a constant
                self._mark(args[:1])
        return result

    def _mark(self, results: Any) -> None:
        for leaf in tree_leaves(results):
            if isinstance(leaf, Tensor):
                self._storages.add(leaf.untyped_storage().data_ptr())
                self._alive.append(leaf)


def _macs(name: str, args: tuple[Any, ...], result: Any) -> int:
    if name in ("convolution", "_convolution") and isinstance(result, Tensor):
        # Order of aten::convolution: input, weight, bias, stride, padding, dilation, transposed.
        transposed = bool(args[6])
        # Every position of the output (of the input if transposed) uses each element of the weight once.
        positions = args[0] if transposed else result
        return int(positions.numel() // positions.shape[1] * args[1].numel())
    if name in ("mm", "bmm") and isinstance(result, Tensor):
        return int(result.numel() * args[0].shape[-1])
    if name == "addmm" and isinstance(result, Tensor):
        return int(result.numel() * args[1].shape[-1])
    return 0


@torch.no_grad()
def audit(module: nn.Module, image: Tensor) -> Audit:
    """Run a module on an image and record the operators that it applies.

    Parameters
    ----------
    module
        Module in the mode (training or eval) that is of interest.
    image
        Input of shape (1, C, H, W).
    """
    data = image.clone()
    record = Audit(data)
    with record:
        module(data)
    return record
