"""Execute a network's code in float64, although it creates tensors of float32.

Casting parameters and input is not enough: ``torch.ones(...)`` in a forward pass makes float32, and a convolution of
both dtypes raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.proxy import Proxy
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

_SINGLE = (torch.float32, torch.float16, torch.bfloat16)
# Methods that cast to a fixed dtype without naming it in an argument.
_CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16)


@contextmanager
def float64_arithmetic() -> Iterator[None]:
    """Create all floating-point tensors in float64, and cast arguments that are still of a lower precision.

    The context is for the code of networks only: casts to float32 have no effect within it.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Promotion():
            yield
    finally:
        torch.set_default_dtype(before)


def run_in_float64(network: nn.Module, image: Tensor) -> Any:
    """Return the output of a float64 network for a float64 image."""
    with float64_arithmetic():
        return network(image)


class _Promotion(TorchFunctionMode):
    """Replace dtypes of lower precision in arguments, and cast tensors where float64 and a lower precision meet."""

    def __torch_function__(
        self, function: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        # What the tracer records must keep its dtypes, since the graph is executed in the timed precision, too.
        if any(isinstance(leaf, Proxy) for leaf in leaves):
            return function(*args, **kwargs)
        if function in _CASTS:
            function = Tensor.double
        dtypes = {leaf.dtype for leaf in leaves if isinstance(leaf, Tensor)}
        # An in-place operation must change the tensor that it is given, not a copy.
        name = getattr(function, "__name__", "")
        mixed = torch.float64 in dtypes and bool(dtypes & set(_SINGLE)) and not _is_in_place(name)
        if mixed or any(isinstance(leaf, torch.dtype) for leaf in leaves):
            args, kwargs = tree_map(lambda leaf: _promoted(leaf, tensors=mixed), (args, kwargs))
        return function(*args, **kwargs)


def _is_in_place(name: str) -> bool:
    # Names such as add_, __setitem__ and __iadd__; __set__ assigns an attribute such as Tensor.data.
    return (name.endswith("_") and not name.endswith("__")) or name in ("__setitem__", "__set__") or name[:3] == "__i"


def _promoted(leaf: Any, *, tensors: bool) -> Any:
    if isinstance(leaf, torch.dtype):
        return torch.float64 if leaf in _SINGLE else leaf
    if tensors and isinstance(leaf, Tensor) and leaf.dtype in _SINGLE:
        return leaf.double()
    return leaf
