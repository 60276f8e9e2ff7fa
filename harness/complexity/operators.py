"""Multiply-accumulates of torch's operators, as they reach the dispatcher.

Every convolution, matrix product, attention and recurrent layer ends in one of a few ATen operators, however it is
written in Python. Composite operators are counted by what they decompose into. All counts are multiply-accumulates
(MACs) without bias.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Kind = Literal["convolution", "product", "other"]

Formula = Callable[..., int]
"""Returns the MACs of one call, from the result and the arguments of the operator."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one operator call.

    Attributes
    ----------
    kind
        ``convolution``, ``product`` (matrix products, attention, recurrent layers), or ``other`` for the operators to
        which fvcore assigns multiply-accumulates: normalization, interpolation and adaptive pooling.
    macs
        Multiply-accumulates.
    activations
        Output elements of convolutions and matrix products, in attention including the scores.
    """

    kind: Kind
    macs: int
    activations: int = 0


# The names of operators that can hold multiply-accumulates. An operator that matches and has no formula below is
# reported as not counted. All other ATen operators compute elementwise, reduce, select or move data.
_CAN_HOLD_MACS = re.compile(
    r"conv(_|\d|$)|convolution|(^|_)(ssp|sp|s)?(add|badd)?b?mm(_|$)|matmul|(^|_)(add)?mv(_|$)|(^|_)v?dot(_|$)|linear(_|$)"
    r"|bilinear$|trilinear$|(^|_)addr(_|$)|einsum|tensordot|attention|(^|_)(rnn|lstm|gru)(_|$)|(^|_)fft_|cdist|pdist"
    r"|linalg_|cholesky|_solve|lu_unpack|ormqr|orgqr|geqrf|inverse|sumproduct|outer$|transformer_encoder|chain_matmul"
)
# Exceptions from the pattern above: operators that match it by name and compute no products.
_HOLD_NONE = re.compile(
    r"upsample_|grid_sampler|linalg_(vector_norm|cross|vecdot|diagonal|check_errors)|_thnn_fused_(lstm|gru)_cell|fft_(shift|ifftshift)"
    r"|_fft_(freq|rfftfreq)|nested_"
)
_WITHOUT_MACS = frozenset({"prim", "prims", "profiler", "rngprims", "higher_order"})
"""Namespaces of operators of torch that compute no products."""


def can_hold_macs(name: str) -> bool:
    """Return whether an operator, for example ``aten::max_pool2d``, can contain multiply-accumulates.

    Operators that do not belong to torch can contain anything.
    """
    namespace, _, operator = name.rpartition("::")
    if namespace not in ("aten", ""):
        return namespace not in _WITHOUT_MACS
    return bool(_CAN_HOLD_MACS.search(operator)) and not _HOLD_NONE.search(operator)


def has_formula(name: str) -> bool:
    """Return whether :func:`cost_of` knows the cost of an operator."""
    return _plain_name(name) in _RULES


def _plain_name(name: str) -> str:
    return name.removeprefix("aten::").removesuffix("_")


def cost_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], made: Any) -> Cost | None:
    """Return the cost of one operator call; None if the operator has no formula.

    Parameters
    ----------
    name
        Name with its namespace, for example ``aten::addmm``.
    args, kwargs
        Arguments of the call.
    made
        Its result.
    """
    rule = _RULES.get(_plain_name(name))
    if rule is None:
        return None
    kind, formula = rule
    macs = formula(made, *args, **kwargs)
    if kind == "other":
        return Cost(kind, macs)
    return Cost(kind, macs, _activations(name, args, made))


def _activations(name: str, args: Sequence[Any], made: Any) -> int:
    # Of several results, the first is the output; others are statistics or states.
    first = next((value for value in (made if isinstance(made, tuple | list) else [made]) if _is_tensor(value)), None)
    produced = first.numel() if first is not None else 0
    if "attention" in name:  # the scores are the output of a matrix product, too, although they are not stored
        query, key = args[:2]
        produced += math.prod(query.shape[:-1]) * int(key.shape[-2])
    return int(produced)


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


# Convolutions -----------------------------------------------------------------------------------------------


def convolution_macs(given: Tensor, weight: Tensor, made: Tensor, *, transposed: bool) -> int:
    """Return the multiply-accumulates of a convolution of any dimension, without bias.

    A convolution applies each kernel tap once per output position, a transposed convolution once per input position.
    """
    positions = given if transposed else made
    # The last dimensions are those of the kernel; the batch dimension may be missing.
    sides = weight.dim() - 2
    batch = positions.shape[0] if positions.dim() == weight.dim() else 1
    return batch * math.prod(positions.shape[positions.dim() - sides :]) * weight.numel()


def _convolution(made: Tensor, given: Tensor, weight: Tensor, *rest: Any, **named: Any) -> int:
    # Order of aten::convolution after the weight: bias, stride, padding, dilation, transposed.
    transposed = rest[4] if len(rest) > 4 else named.get("transposed", False)
    return convolution_macs(given, weight, made, transposed=bool(transposed))


def _plain_convolution(made: Tensor, given: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return convolution_macs(given, weight, made, transposed=False)


def _convolution_of_sequences(made: Tensor, _given: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return made.shape[0] * made.shape[1] * weight.numel()  # conv_tbc: T x B x C, weight k x in x out


# Products ---------------------------------------------------------------------------------------------------


def _product(made: Tensor, first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    # Only the stored elements of a sparse matrix are multiplied.
    if first.layout == torch.sparse_coo or first.layout == torch.sparse_csr:
        return int(first._nnz()) * int(second.shape[-1])
    return made.numel() * int(first.shape[-1])


def _shifted_product(made: Tensor, _shift: Any, first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    return _product(made, first, second)


def _summed_products(_made: Tensor, _shift: Any, first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    return first.numel() * int(second.shape[-1])  # addbmm: the batch is summed, so the output does not show it


def _affine_grid(made: Tensor, theta: Tensor, *_: Any, **__: Any) -> int:
    return made.numel() * int(theta.shape[-1])  # coordinates of each pixel, and 1, times a matrix


def _dot(_made: Tensor, first: Tensor, *_: Any, **__: Any) -> int:
    return first.numel()


def _outer(made: Tensor, *_: Any, **__: Any) -> int:
    return made.numel()


def _linear(made: Tensor, _given: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return made.numel() * int(weight.shape[-1])


def _sum_product(_made: Tensor, *args: Any, **__: Any) -> int:
    """Return the elements of the broadcast product of three tensors, of which `_trilinear` sums some dimensions.

    The third factor is applied after the sum over the second one where that is possible, so only the larger product
    counts, as in the closed form of a bilinear layer: in1 x in2 x out.
    """
    tensors, expansions = args[:3], args[3:6]
    shapes = []
    for tensor, added in zip(tensors, expansions, strict=True):
        shape = list(tensor.shape)
        for dimension in added:
            shape.insert(dimension, 1)
        shapes.append(shape)
    return math.prod(max(sides) for sides in zip(*shapes, strict=True))


def _distances(_made: Tensor, first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    return first.numel() * int(second.shape[-2])


def _attention(_made: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    rows = math.prod(query.shape[:-1])  # batch, heads and queries
    # One product of queries and keys, and one of scores and values.
    return rows * int(key.shape[-2]) * (int(query.shape[-1]) + int(value.shape[-1]))


def _recurrent_layer(_made: Any, given: Tensor, first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    return given.shape[0] * given.shape[1] * (first.numel() + second.numel())  # T x B x C; two weights of the layer


def _recurrent(_made: Any, given: Tensor, weights: Sequence[Tensor], *_: Any, **__: Any) -> int:
    # Tensors of one dimension are biases.
    return given.shape[0] * given.shape[1] * sum(weight.numel() for weight in weights if weight.dim() == 2)


def _deformable(made: Tensor, _given: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return made.shape[0] * math.prod(made.shape[2:]) * weight.numel()


# Others: the conventions of fvcore --------------------------------------------------------------------------


def _batch_norm(_made: Any, given: Tensor, weight: Tensor | None, *rest: Any, **named: Any) -> int:
    # Order of aten::native_batch_norm after the weight: bias, running mean, running variance, training.
    training = bool(rest[3]) if len(rest) > 3 else bool(named.get("training", False))
    if training:
        return _norm(given, weight)
    return given.numel() * (1 if weight is None else 2)


# As fvcore's batchnorm_flop_jit in eval mode: 1 per element, and 2 with affine parameters.
def _frozen_batch_norm(_made: Any, given: Tensor, weight: Tensor | None, *_: Any, **__: Any) -> int:
    return given.numel() * (1 if weight is None else 2)


# As fvcore's norm_flop_counter: 4 per element, and 5 with affine parameters.
def _norm(given: Tensor, weight: Tensor | None) -> int:
    return given.numel() * (4 if weight is None else 5)


def _layer_norm(_made: Any, given: Tensor, _shape: Any, weight: Tensor | None = None, *_: Any, **__: Any) -> int:
    return _norm(given, weight)


def _group_norm(_made: Any, given: Tensor, weight: Tensor | None = None, *_: Any, **__: Any) -> int:
    return _norm(given, weight)


def _each_output(made: Tensor, *_: Any, **__: Any) -> int:
    return made.numel()


def _four_each_output(made: Tensor, *_: Any, **__: Any) -> int:
    return 4 * made.numel()


def _rules(kind: Kind, table: Mapping[str, Formula]) -> dict[str, tuple[Kind, Formula]]:
    return {name: (kind, formula) for names, formula in table.items() for name in names.split()}


_RULES: dict[str, tuple[Kind, Formula]] = {
    **_rules(
        "convolution",
        {
            "convolution _convolution convolution_overrideable": _convolution,
            "mkldnn_convolution cudnn_convolution miopen_convolution thnn_conv2d _slow_conv2d_forward slow_conv3d "
            "slow_conv3d_forward conv_depthwise3d _conv_depthwise2d cudnn_convolution_relu": _plain_convolution,
            "conv_tbc": _convolution_of_sequences,
            "torchvision::deform_conv2d": _deformable,
        },
    ),
    **_rules(
        "product",
        {
            "mm bmm mv _int_mm _scaled_mm _sparse_mm": _product,
            "addmm baddbmm addmv sspaddmm _sparse_addmm _addmm_activation": _shifted_product,
            "addbmm": _summed_products,
            "dot vdot": _dot,
            "addr": _outer,
            "affine_grid_generator": _affine_grid,
            "mkldnn_linear": _linear,
            "_trilinear": _sum_product,
            "_cdist_forward _euclidean_dist": _distances,
            "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu "
            "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
            "_scaled_dot_product_fused_attention_overrideable _scaled_dot_product_attention_math_for_mps": _attention,
            "mkldnn_rnn_layer": _recurrent_layer,
            "_cudnn_rnn miopen_rnn": _recurrent,
        },
    ),
    **_rules(
        "other",
        {
            "native_batch_norm cudnn_batch_norm miopen_batch_norm": _batch_norm,
            "_native_batch_norm_legit_no_training": _frozen_batch_norm,
            "native_layer_norm": _layer_norm,
            "native_group_norm": _group_norm,
            "upsample_nearest2d": _each_output,
            "upsample_bilinear2d grid_sampler_2d grid_sampler_3d": _four_each_output,
        },
    ),
}
"""Rules by name without ``aten::`` and without the underscore of in-place variants."""
