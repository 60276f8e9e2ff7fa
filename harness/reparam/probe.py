"""Measure the convolution that a module computes: its kernel is the impulse response, its bias the response to zero.

This is for modules that cannot be traced: custom padding with the bias, weights assembled in ``forward``, custom
autograd functions. The module runs in float64. The result is accepted only if all operators on the data preserve
affine maps (see :mod:`harness.reparam.audit`) and the measured convolution reproduces the module's output on Gaussian
noise of several magnitudes and sizes. A module whose code treats larger images differently is found by its operators
at the sizes at which it is used (see :mod:`harness.reparam.sizes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.complexity.copying import copied
from harness.reparam.affine import AffineMap, apply, trimmed
from harness.reparam.audit import audit
from harness.reparam.double import float64_arithmetic
from harness.reparam.sizes import Size, signatures, stand_ins

VERIFIED_SIZES: tuple[Size, ...] = ((17, 23), (20, 18))
"""Sizes of the noise on which the measured convolution is verified."""

CANVASES = (15, 31)
"""Side lengths of the images that contain the impulse, tried in order; the response must not reach the edges."""

MAGNITUDES = (1e-4, 1.0, 1e4)
"""Standard deviations of the noise on which the measured convolution is verified."""

AGREEMENT = 1e-11
"""Largest difference between module and measured convolution in float64, relative to the largest output."""

IMPULSE = 2.0**20
"""Amplitude of the impulse: large, to limit cancellation with the bias; a power of two, so that division is exact."""

NOISE_FLOOR = 1e-14
"""Relative magnitude below which a tap is considered a rounding error of the module's own sums and set to zero."""

BATCH = 64
"""Number of impulses per forward pass."""


@torch.no_grad()
def probe(module: nn.Module, channels: int) -> AffineMap | None:
    """Measure the convolution that a module computes.

    Parameters
    ----------
    module
        Module that maps one image of shape (N, channels, H, W) to another. It is copied and run in float64.
    channels
        Number of input channels.

    Returns
    -------
    AffineMap | None
        None if the module is not affine and shift-invariant. ``exact`` is False if this holds only in the interior of
        the image.
    """
    try:
        with float64_arithmetic():
            return _probe(copied(module).double(), channels)
    except Exception:  # noqa: BLE001  # submitted code may raise anything; it is then not a convolution
        return None


@torch.no_grad()
def size_dependence(module: nn.Module, channels: int, measured: AffineMap, sizes: Sequence[Size]) -> str:
    """Return why a measured convolution may be another one at the sizes of the module's use; empty if it is not.

    Parameters
    ----------
    module
        Module that was measured. It is copied and run in float64.
    channels
        Number of input channels.
    measured
        Result of :func:`probe`.
    sizes
        Heights and widths of the module's input.
    """
    with float64_arithmetic():
        work = copied(module).double()
        reasons = (_size_dependence(work, channels, measured, size) for size in sizes)
        return next(filter(None, reasons), "")


def _size_dependence(module: nn.Module, channels: int, measured: AffineMap, size: Size) -> str:
    nearby = [one for one in stand_ins(size) if one != size]
    full, *others = signatures(module, channels, [size, *VERIFIED_SIZES, *nearby])
    # Modules that need data are compared as a part of the network only.
    if full is None or full in others[: len(VERIFIED_SIZES)]:
        return ""
    # It may treat remainders differently, or do the same by other operators.
    equal = [one for one, seen in zip(nearby, others[len(VERIFIED_SIZES) :], strict=True) if seen == full]
    if not equal:
        return f"other operators at {_text(size)} than at smaller sizes"
    try:
        checked = _verified(module, channels, measured, equal)
    except Exception as error:  # noqa: BLE001  # submitted code may raise anything
        return f"it raises {type(error).__name__} at {_text(equal[0])}"
    same = checked is not None and checked.exact == measured.exact
    return "" if same else f"another output at {_text(equal[0])} than at smaller sizes"


def _text(size: Size) -> str:
    return "{}x{}".format(*size)


def _probe(module: nn.Module, channels: int) -> AffineMap | None:
    noise = torch.rand(1, channels, 13, 16, dtype=torch.float64)
    if audit(module, noise).non_affine:
        return None
    # The smaller canvas, of a quarter of the pixels, suffices for kernels of the usual sizes.
    for side in CANVASES:
        measured = _measured(module, channels, side)
        if measured is not None:
            return _verified(module, channels, measured, VERIFIED_SIZES)
    return None


def _measured(module: nn.Module, channels: int, side: int) -> AffineMap | None:
    """Derive kernel, bias, padding and upscaling factor from the responses; None if the image is too small."""
    # Upscaling modules are recognized by the size of their output; pixel unshuffle reduces them to a convolution.
    zero_response = module(torch.zeros(1, channels, side, side, dtype=torch.float64))
    shuffle = max(1, round(zero_response.shape[-1] / side))
    baseline = functional.pixel_unshuffle(zero_response, shuffle)
    length, growth = baseline.shape[-1], baseline.shape[-1] - side
    bias = baseline[0, :, length // 2, length // 2]  # at the centre, far from any effect of the border
    response = (functional.pixel_unshuffle(_impulses(module, channels, side), shuffle) - baseline) / IMPULSE
    if _touches_edge(response):
        return None
    # For an impulse in row c, output row i is kernel[c + top - i], so the response is the mirrored kernel. It is taken
    # over the whole image, hence the large padding below; `trimmed` removes the zero taps and the padding with them.
    kernel = response.transpose(0, 1).flip(2, 3).contiguous()
    # The impulse is in row side // 2: top = length - 1 - side // 2, and bottom follows from the growth of the size.
    padding = (length - 1 - side // 2, growth + side // 2) * 2
    # A bias of zero counts as well, see `AffineMap.biased`.
    biased = any("bias" in name for name, _ in module.named_parameters()) or bool(bias.any())
    return trimmed(AffineMap(_denoised(kernel), bias, padding, shuffle=shuffle, biased=biased))


def _impulses(module: nn.Module, channels: int, side: int) -> Tensor:
    """Return the response to an impulse in the centre of each input channel, shape (in, out, H, W)."""
    images = torch.zeros(channels, channels, side, side, dtype=torch.float64)
    images[range(channels), range(channels), side // 2, side // 2] = IMPULSE
    return torch.cat([module(batch.clone()) for batch in torch.split(images, BATCH)])


def _touches_edge(response: Tensor) -> bool:
    rows, columns = response[..., (0, -1), :], response[..., (0, -1)]
    rim = max(rows.abs().amax().item(), columns.abs().amax().item())
    return rim > NOISE_FLOOR * response.abs().amax().item()


def _denoised(kernel: Tensor) -> Tensor:
    return torch.where(kernel.abs() <= NOISE_FLOOR * kernel.abs().amax(), 0.0, kernel)


def _verified(module: nn.Module, channels: int, measured: AffineMap, sizes: Sequence[Size]) -> AffineMap | None:
    """Compare module and measured convolution on noise and set `exact`; None if they differ in the interior."""
    generator = torch.Generator().manual_seed(0)
    exact = True
    for magnitude in MAGNITUDES:
        for size in sizes:
            noise = torch.randn(1, channels, *size, generator=generator, dtype=torch.float64) * magnitude
            expected, actual = module(noise.clone()), apply(measured, noise)
            if expected.shape != actual.shape:
                return None
            gap = (expected - actual).abs() / max(1e-30, expected.abs().amax().item())
            # The interior excludes all pixels whose kernel window touches the border. Strips may have none.
            reach = max(measured.size) * measured.shuffle
            interior = gap[..., reach:-reach, reach:-reach]
            if interior.numel() and interior.amax() > AGREEMENT:
                return None
            exact &= bool(gap.amax() <= AGREEMENT)
    return replace(measured, exact=exact and measured.exact)
