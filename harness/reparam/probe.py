"""A module's convolution by experiment: its kernel is its impulse response, its bias its response to zero.

For modules that a trace cannot see through: hand-made padding with the bias, weights assembled in ``forward``,
custom autograd functions. The module runs in float64. What is measured is accepted only if the data passed through
operators that can keep an affine map affine (see :mod:`harness.reparam.audit`), and if the measured convolution
repeats the module's answers, borders included, on noise of many magnitudes, both signs and several sizes.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.reparam.affine import AffineMap, apply, trimmed
from harness.reparam.audit import audit

CANVASES = (15, 31)
"""Sides of the images on which an impulse is placed; the response must not reach their edges."""

MAGNITUDES = (1e-4, 1.0, 1e4)
"""Largest values of the noise on which the measured convolution is tried."""

AGREEMENT = 1e-11
"""Largest deviation of module and measured convolution in float64, relative to the largest answer."""

IMPULSE = 2.0**20
"""Height of the impulse: high, so that subtracting the bias costs no digits; a power of two, so that dividing does not.
"""

NOISE_FLOOR = 1e-14
"""Taps below this, relative to the largest, are rounding errors of the module's own sums, and count as zero."""

BATCH = 64
"""Impulses that are sent through the module at once."""


@torch.no_grad()
def probe(module: nn.Module, channels: int) -> AffineMap | None:
    """Measure the convolution that a module equals.

    Parameters
    ----------
    module
        Takes one image of shape (N, channels, H, W) and gives one; it runs on a float64 copy.
    channels
        Number of its input channels.

    Returns
    -------
    AffineMap | None
        None where the module is not affine and shift-invariant; ``exact`` is False where it is so in the interior
        only.
    """
    try:
        return _probe(copy.deepcopy(module).double(), channels)
    except Exception:  # noqa: BLE001  # foreign code: whatever it raises, it is not the convolution looked for
        return None


def _probe(module: nn.Module, channels: int) -> AffineMap | None:
    noise = torch.rand(1, channels, 13, 16, dtype=torch.float64)
    if audit(module, noise).foreign:
        return None
    for side in CANVASES:
        measured = _measured(module, channels, side)
        if measured is not None:
            return _confirmed(module, channels, measured)
    return None


def _measured(module: nn.Module, channels: int, side: int) -> AffineMap | None:
    """Read kernel, bias, enlargement and upscaling off the responses; None where the canvas is too small."""
    silence = module(torch.zeros(1, channels, side, side, dtype=torch.float64))
    shuffle = max(1, round(silence.shape[-1] / side))
    rest = functional.pixel_unshuffle(silence, shuffle)
    length, growth = rest.shape[-1], rest.shape[-1] - side
    bias = rest[0, :, length // 2, length // 2]
    response = (functional.pixel_unshuffle(_impulses(module, channels, side), shuffle) - rest) / IMPULSE
    if _touches_edge(response):
        return None
    # Row i answers an impulse in row c with kernel[c + top - i]: the response is the kernel, mirrored.
    kernel = response.transpose(0, 1).flip(2, 3).contiguous()
    padding = (length - 1 - side // 2, growth + side // 2) * 2
    biased = any("bias" in name for name, _ in module.named_parameters()) or bool(bias.any())
    return trimmed(AffineMap(_denoised(kernel), bias, padding, shuffle=shuffle, biased=biased))


def _impulses(module: nn.Module, channels: int, side: int) -> Tensor:
    """Response to an impulse in the centre of each input channel, shape (in, out, H, W)."""
    images = torch.zeros(channels, channels, side, side, dtype=torch.float64)
    images[range(channels), range(channels), side // 2, side // 2] = IMPULSE
    return torch.cat([module(batch.clone()) for batch in torch.split(images, BATCH)])


def _touches_edge(response: Tensor) -> bool:
    rows, columns = response[..., (0, -1), :], response[..., (0, -1)]
    rim = max(rows.abs().amax().item(), columns.abs().amax().item())
    return rim > NOISE_FLOOR * response.abs().amax().item()


def _denoised(kernel: Tensor) -> Tensor:
    return torch.where(kernel.abs() <= NOISE_FLOOR * kernel.abs().amax(), 0.0, kernel)


def _confirmed(module: nn.Module, channels: int, measured: AffineMap) -> AffineMap | None:
    generator = torch.Generator().manual_seed(0)
    exact = True
    for magnitude in MAGNITUDES:
        for size in ((17, 23), (20, 18)):
            noise = torch.randn(1, channels, *size, generator=generator, dtype=torch.float64) * magnitude
            expected, actual = module(noise.clone()), apply(measured, noise)
            if expected.shape != actual.shape:
                return None
            gap = (expected - actual).abs() / max(1e-30, expected.abs().amax().item())
            reach = max(measured.size) * measured.shuffle
            if gap[..., reach:-reach, reach:-reach].amax() > AGREEMENT:
                return None
            exact &= bool(gap.amax() <= AGREEMENT)
    return replace(measured, exact=exact)
