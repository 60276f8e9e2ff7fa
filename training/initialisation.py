"""Initialize a network as an interpolation, which saves thousands of training steps.

This applies to networks whose last layer is linear. Plain convolutions of the body are initialized near the identity,
so that the image reaches the tail. Then only the tail is fitted to patches by L-BFGS on the squared error. Random
features with a fitted linear output layer already exceed the PSNR of bicubic interpolation.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.collapse import is_collapsible

IDENTITY_NOISE = 0.5  # factor of the random weights to which the identity is added
NORM_LEVEL = 3.0  # bias of normalizations: GELU(x) is within 0.5 % of x for x >= 3
NORM_SPREAD = 2.5  # absolute value of the constants in spare channels; image channels are in [0, 1]
BLOCK_NOISE = 0.3  # factor of the random weights of the last layer in reparameterizable blocks


def add_identities(network: nn.Module, tail: nn.Module) -> int:
    """Add the identity to plain convolutions other than the tail; return the number of changed convolutions.

    Output channel ``i`` is initialized as input channel ``i`` plus half of the usual random filter. Strided and grouped
    convolutions are not changed, nor are reparameterizable blocks, which contain an identity of their own.
    """
    changed = 0
    for layer in _plain_convolutions(network):
        if layer is tail or layer.stride != (1, 1) or layer.groups != 1:
            continue
        with torch.no_grad():
            layer.weight.mul_(IDENTITY_NOISE)
            middle = layer.kernel_size[0] // 2
            for channel in range(min(layer.in_channels, layer.out_channels)):
                layer.weight[channel, channel, middle, middle] += 1.0
        changed += 1
    return changed


def initialise_norms(network: nn.Module) -> int:
    """Initialize layer normalizations over channels such that the image passes through; return their number.

    A normalization divides by the standard deviation of the channels, which depends on the image. Therefore the
    channels that the image does not need are set to large constants of alternating sign. They dominate the standard
    deviation, so that it is nearly constant and the weight of the normalization can cancel it. The bias moves the
    channels into the range in which GELU is nearly linear, except in the last normalization, which is not followed by
    an activation.
    """
    norms = [module for module in network.modules() if _is_channel_norm(module)]
    head = next(iter(_plain_convolutions(network)), None)
    if not norms or head is None or head.bias is None:
        return 0
    with torch.no_grad():
        # The first `in_channels` outputs hold the image; the remaining ones are spare.
        spare = torch.arange(head.in_channels, head.out_channels)
        head.bias.zero_()
        head.bias[spare] = NORM_SPREAD * (1.0 - 2.0 * (spare % 2))
        # The mean is about zero because signs alternate, so the standard deviation is about NORM_SPREAD * sqrt(share).
        share = len(spare) / head.out_channels
        for norm in norms:
            norm.get_parameter("weight").fill_(NORM_SPREAD * share**0.5)
            norm.get_parameter("bias").fill_(0.0 if norm is norms[-1] else NORM_LEVEL)
        for block in filter(is_collapsible, network.modules()):
            *_, last = (layer for layer in block.modules() if isinstance(layer, nn.Conv2d))
            last.weight.mul_(BLOCK_NOISE)  # the block adds an identity of its own
            if last.bias is not None:
                last.bias.zero_()
    return len(norms)


def _is_channel_norm(module: nn.Module) -> bool:
    # Recognized by its attributes, because torch's LayerNorm does not support this layout and models define their own.
    vectors = [getattr(module, name, None) for name in ("weight", "bias")]
    return (
        hasattr(module, "eps")
        and not hasattr(module, "running_mean")
        and all(isinstance(value, nn.Parameter) and value.dim() == 1 for value in vectors)
    )


def _plain_convolutions(module: nn.Module) -> list[nn.Conv2d]:
    if is_collapsible(module):
        return []
    if isinstance(module, nn.Conv2d):
        return [module]
    return [layer for child in module.children() for layer in _plain_convolutions(child)]


def find_tail(network: nn.Module, upscale: Callable[[Tensor], Tensor], lr: Tensor) -> nn.Module:
    """Return the convolution, or collapsible block, that runs last in a forward pass on ``lr``."""
    # The order of execution is needed, not that of definition, which may differ.
    order: list[nn.Module] = []
    handles = [
        module.register_forward_hook(lambda ran, _inputs, _output: order.append(ran))
        for module in network.modules()
        if is_collapsible(module) or isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    with torch.no_grad():
        upscale(lr)
    for handle in handles:
        handle.remove()
    return order[-1]


def fit_tail(tail: nn.Module, upscale: Callable[[Tensor], Tensor], lr: Tensor, hr: Tensor, iterations: int) -> float:
    """Fit the parameters of the tail by L-BFGS so that ``upscale(lr)`` approximates ``hr``.

    Parameters
    ----------
    tail
        Last layer; only its parameters are changed.
    upscale
        Function that applies the network.
    lr, hr
        Images of shape (N, 3, h, w) and (N, 3, s h, s w) in [0, 1].
    iterations
        Maximum number of iterations.

    Returns
    -------
    float
        Mean squared error after the fit.
    """
    _centre(tail, upscale, lr, hr)
    parameters = [value for value in tail.parameters() if value.requires_grad]
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=iterations, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def closure() -> Tensor:
        error = nn.functional.mse_loss(upscale(lr), hr)
        # L-BFGS flattens gradients with view(), which raises for gradients in channels-last format.
        for value, slope in zip(parameters, torch.autograd.grad(error, parameters), strict=True):
            value.grad = slope.contiguous()
        return error

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    for value in parameters:
        value.grad = None
    with torch.no_grad():
        return float(nn.functional.mse_loss(upscale(lr), hr))


def _centre(tail: nn.Module, upscale: Callable[[Tensor], Tensor], lr: Tensor, hr: Tensor) -> None:
    """Shift the bias of a plain tail to correct the mean output, because clipped outputs have zero gradient."""
    bias = getattr(tail, "bias", None)
    if isinstance(bias, nn.Parameter):
        with torch.no_grad():
            bias.add_((hr - upscale(lr)).mean())
