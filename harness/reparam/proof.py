"""Compare two forms of a network on noise and photographs of odd sizes, separately for border and interior.

Two choices are based on published networks. Photographs are used besides noise because some networks produce values of
several hundred on noise and sensible ones on photographs. Outputs are clamped to the image range before the comparison
because some converters move the final clip into the last layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.complexity.input_size import multiple_at, odd_multiple
from harness.reparam.double import run_in_float64

BORDER = 8
"""Width of the image border in input pixels."""

MAX_CLIPPED_SHARE = 0.9
"""Share of clipped output values above which outputs are compared without clamping, which would hide differences."""


@dataclass(frozen=True, slots=True)
class ProofImage:
    """One input of the comparison.

    Attributes
    ----------
    kind
        ``"random"`` for uniform noise, ``"natural"`` for a crop of a photograph.
    pixels
        Shape (1, 3, H, W), float32, in the value range of the network.
    """

    kind: str
    pixels: Tensor


@dataclass(frozen=True, slots=True)
class Difference:
    """Largest absolute differences between two forms, as fractions of the value range.

    Attributes
    ----------
    random, natural
        Maximum over inputs of this kind; 0 if there are none.
    interior, border
        Maximum over pixels farther than :data:`BORDER` input pixels from the edge, and over the remaining pixels.
    """

    random: float = 0.0
    natural: float = 0.0
    interior: float = 0.0
    border: float = 0.0

    @property
    def largest(self) -> float:
        """Maximum over all inputs; ``inf`` if only one output was finite or the shapes differ."""
        return max(self.random, self.natural)

    def joined(self, other: Difference) -> Difference:
        """Return the elementwise maximum of two differences."""
        return Difference(
            max(self.random, other.random),
            max(self.natural, other.natural),
            max(self.interior, other.interior),
            max(self.border, other.border),
        )

    def __str__(self) -> str:
        return f"{self.largest:.2g} (interior {self.interior:.2g}, border {self.border:.2g})"


def proof_images(
    frames: Sequence[Tensor], *, multiple: int = 1, value_range: float = 1.0, seed: int = 0, side: int = 37
) -> list[ProofImage]:
    """Create the inputs of a comparison: two noise images and crops of up to two photographs, of odd sizes.

    Parameters
    ----------
    frames
        Photographs, each of shape (1, 3, H, W), float32, in ``[0, value_range]``; may be empty.
    multiple
        Height and width are odd multiples of this.
    value_range
        Largest value of an input pixel, 1 or 255.
    seed
        Seed of the noise.
    side
        Approximate length of the shorter side of the largest image, in pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    size = odd_multiple(side, multiple), odd_multiple(side * 4 // 3, multiple)
    small = (odd_multiple(side * 2 // 3, multiple),) * 2
    noise = [torch.rand(1, 3, *shape, generator=generator) * value_range for shape in (size, small)]
    images = [ProofImage("random", pixels) for pixels in noise]
    return images + [ProofImage("natural", crop) for crop in _crops(frames, size, multiple)]


def _crops(frames: Sequence[Tensor], size: tuple[int, int], multiple: int) -> Iterator[Tensor]:
    """Yield the centre crop of the first frame and the top-left crop of the second."""
    for index, frame in enumerate(frames[:2]):
        # A frame that is smaller than the image is cropped to multiples of the size that the network accepts.
        rows, columns = (min(n, m // multiple * multiple) for n, m in zip(size, frame.shape[-2:], strict=True))
        top = (frame.shape[-2] - rows) // 2 * (1 - index)
        left = (frame.shape[-1] - columns) // 2 * (1 - index)
        if rows and columns:
            yield frame[..., top : top + rows, left : left + columns].float().contiguous()


def image_of_size(frames: Sequence[Tensor], height: int, width: int, value_range: float) -> ProofImage:
    """Create an image of any size from the first photograph, mirrored at its edges; noise if there is none."""
    if not frames:
        generator = torch.Generator().manual_seed(0)
        return ProofImage("random", torch.rand(1, 3, height, width, generator=generator) * value_range)
    rows, columns = (_mirrored(n, length) for n, length in zip((height, width), frames[0].shape[-2:], strict=True))
    return ProofImage("natural", frames[0].float()[..., rows, :][..., columns].contiguous())


def _mirrored(length: int, available: int) -> Tensor:
    """Return `length` indices that go through `available` ones forwards and backwards in turn."""
    index = torch.arange(length) % (2 * available)
    return torch.where(index < available, index, 2 * available - 1 - index)


@torch.no_grad()
def accepted_multiple(network: nn.Module, *, declared: int = 1, channels: int = 3) -> int:
    """Find the smallest sides, as a multiple, that the network accepts.

    Parameters
    ----------
    network
        Network in eval mode.
    declared
        Size multiple from the manifest; only multiples of it are tried.
    channels
        Number of channels of the input image.

    Returns
    -------
    int
        Multiple of height and width, or 0 if the network accepts none of the tested sizes.
    """
    # The dtype and device of the network are those of its first floating-point parameter.
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))

    def accepts(height: int, width: int) -> bool:
        try:
            output = network(torch.full((1, channels, height, width), 0.5, dtype=like.dtype, device=like.device))
        except Exception:  # noqa: BLE001  # foreign code raises anything; the next size may do
            return False
        # An upscaled image is an integer number of times as wide.
        return isinstance(output, Tensor) and output.shape[-1] % width == 0

    return multiple_at(accepts, declared, side=24) or 0


@torch.no_grad()
def outputs(network: nn.Module, images: Sequence[ProofImage], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Run the network on each image; outputs are copied because a network may reuse its output buffer."""
    run = run_in_float64 if dtype == torch.float64 else nn.Module.__call__
    return [run(network, image.pixels.to(dtype)).clone() for image in images]


def difference(
    expected: Sequence[Tensor],
    actual: Sequence[Tensor],
    images: Sequence[ProofImage],
    *,
    value_range: float = 1.0,
) -> Difference:
    """Compare outputs of two forms after clamping to the image range.

    Parameters
    ----------
    expected, actual
        Outputs of both forms for each of ``images``, each of shape (1, C, rH, rW).
    images
        Inputs of the comparison.
    value_range
        Largest value of an output pixel; differences are fractions of it.

    Returns
    -------
    Difference
        ``inf`` if shapes differ, or if a value is finite in only one of the outputs.
    """
    total = Difference()
    for reference, candidate, image in zip(expected, actual, images, strict=True):
        total = total.joined(_one_difference(reference, candidate, image, value_range))
    return total


def _one_difference(reference: Tensor, candidate: Tensor, image: ProofImage, value_range: float) -> Difference:
    if reference.shape != candidate.shape:
        return Difference(random=math.inf, natural=math.inf, interior=math.inf, border=math.inf)
    gap = _gap(reference.double() / value_range, candidate.double() / value_range)
    scale = max(1, reference.shape[-1] // image.pixels.shape[-1])  # the border is defined in input pixels
    interior, border = _split(gap, BORDER * scale)
    largest = max(interior, border)
    by_kind = {image.kind: largest}
    return Difference(by_kind.get("random", 0.0), by_kind.get("natural", 0.0), interior, border)


def _gap(reference: Tensor, candidate: Tensor) -> Tensor:
    """Return the absolute difference after clamping to [0, 1].

    If most of the reference is clipped, return the difference without clamping, relative to the largest absolute value.
    """
    finite = reference.isfinite() & candidate.isfinite()
    both_nonfinite = ~reference.isfinite() & ~candidate.isfinite()
    # Networks with random weights may saturate almost everywhere; clamped outputs would then agree for any network.
    clipped = ((reference <= 0) | (reference >= 1)).double().mean().item()
    if clipped > MAX_CLIPPED_SHARE:
        gap = (reference - candidate).abs() / max(1.0, reference[finite].abs().max().item() if finite.any() else 1.0)
    else:
        gap = (reference.clamp(0, 1) - candidate.clamp(0, 1)).abs()
    # A pixel that is not finite in both outputs is no difference between them.
    return torch.where(both_nonfinite, 0.0, torch.where(finite, gap, math.inf))


def _split(gap: Tensor, width: int) -> tuple[float, float]:
    """Return the maxima over the interior and over a border of `width` pixels."""
    inner = gap[..., width:-width, width:-width]
    outer = gap.clone()
    outer[..., width:-width, width:-width] = 0
    return (inner.max().item() if inner.numel() else 0.0), outer.max().item()
