"""Start a network as an interpolation, so that the first thousands of steps are not spent on finding one.

Two moves do it, for any network whose last layer is linear. Plain convolutions of the body start near the identity, so
that the image reaches the tail; then the tail alone is fitted to real patches by quasi-Newton iterations on the squared
error. A network of random features with a fitted linear readout is already above bicubic interpolation.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.collapse import is_collapsible

CARRIER_NOISE = 0.5
NORM_LEVEL = 3.0
NORM_SPREAD = 2.5
BLOCK_NOISE = 0.3


def carry_through(network: nn.Module, tail: nn.Module) -> int:
    """Add the identity to plain square-kernel convolutions, the tail apart; return how many were changed.

    Channel ``i`` of the output starts as channel ``i`` of the input plus half of the usual random filter. Strided and
    grouped convolutions and reparameterizable blocks (which carry their own identity) are left alone.
    """
    changed = 0
    for layer in _plain_convolutions(network):
        if layer is tail or layer.stride != (1, 1) or layer.groups != 1:
            continue
        with torch.no_grad():
            layer.weight.mul_(CARRIER_NOISE)
            middle = layer.kernel_size[0] // 2
            for channel in range(min(layer.in_channels, layer.out_channels)):
                layer.weight[channel, channel, middle, middle] += 1.0
        changed += 1
    return changed


def carry_past_norms(network: nn.Module) -> int:
    """Let an image pass through layers that normalise the channels of each pixel; return how many there are.

    Such a layer divides by what it should carry. So the channels that the first convolution has left over hold large
    constants of both signs, whose spread decides the divisor, and every norm undoes it by its weight. Its bias lifts
    the channels to where GELU is linear, except in the last norm, before which no activation follows.
    """
    norms = [module for module in network.modules() if _is_channel_norm(module)]
    head = next(iter(_plain_convolutions(network)), None)
    if not norms or head is None or head.bias is None:
        return 0
    with torch.no_grad():
        spare = torch.arange(head.in_channels, head.out_channels)
        head.bias.zero_()
        head.bias[spare] = NORM_SPREAD * (1.0 - 2.0 * (spare % 2))
        share = len(spare) / head.out_channels
        for norm in norms:
            norm.get_parameter("weight").fill_(NORM_SPREAD * share**0.5)
            norm.get_parameter("bias").fill_(0.0 if norm is norms[-1] else NORM_LEVEL)
        for block in filter(is_collapsible, network.modules()):
            *_, last = (layer for layer in block.modules() if isinstance(layer, nn.Conv2d))
            last.weight.mul_(BLOCK_NOISE)  # the block carries its own identity beside this
            if last.bias is not None:
                last.bias.zero_()
    return len(norms)


def _is_channel_norm(module: nn.Module) -> bool:
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
    """Fit the tail's parameters to give ``hr`` from ``lr`` by L-BFGS; return the mean squared error reached.

    Parameters
    ----------
    lr, hr
        N x 3 x h x w and N x 3 x sh x sw in [0, 1].
    """
    _centre(tail, upscale, lr, hr)
    parameters = [value for value in tail.parameters() if value.requires_grad]
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=iterations, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def closure() -> Tensor:
        error = nn.functional.mse_loss(upscale(lr), hr)
        # L-BFGS flattens gradients with view(), which channels-last kernels refuse.
        for value, slope in zip(parameters, torch.autograd.grad(error, parameters), strict=True):
            value.grad = slope.contiguous()
        return error

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    for value in parameters:
        value.grad = None
    with torch.no_grad():
        return float(nn.functional.mse_loss(upscale(lr), hr))


def _centre(tail: nn.Module, upscale: Callable[[Tensor], Tensor], lr: Tensor, hr: Tensor) -> None:
    """Move a plain tail's bias so that the output is right in the mean: a network that clips has no slope outside."""
    bias = getattr(tail, "bias", None)
    if isinstance(bias, nn.Parameter):
        with torch.no_grad():
            bias.add_((hr - upscale(lr)).mean())
