"""Equality of two forms of a network: on noise and on photographs, at odd sizes, border and interior apart.

Two rules come from networks in the wild. Photographs count, not only noise: some networks answer noise with
values of several hundred and are sound on photographs. And outputs are compared after clamping to the image
range, because some converters embed the final clip in their last layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.complexity.input_size import odd_multiple, smallest_multiple

BORDER = 8
"""Width of the frame, in input pixels, that counts as the image border."""

SATURATED = 0.9
"""Where a larger share of the output is clipped than this, clamping would hide a difference."""


@dataclass(frozen=True, slots=True)
class ProofImage:
    """One input of the comparison.

    Attributes
    ----------
    kind
        ``"random"`` for uniform noise, ``"natural"`` for a crop of a frame.
    pixels
        Shape (1, 3, H, W), float32, in the network's own value range.
    """

    kind: str
    pixels: Tensor


@dataclass(frozen=True, slots=True)
class Difference:
    """Largest absolute differences of two forms, as fractions of the value range.

    Attributes
    ----------
    random, natural
        By kind of input; 0 where there was none of the kind.
    interior, border
        By place: within :data:`BORDER` input pixels of the image's edge, or farther in.
    """

    random: float = 0.0
    natural: float = 0.0
    interior: float = 0.0
    border: float = 0.0

    @property
    def largest(self) -> float:
        """The largest of all; ``inf`` where an output was not finite or had another shape."""
        return max(self.random, self.natural)

    def joined(self, other: Difference) -> Difference:
        """Give the larger of each figure."""
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
    """Make the inputs of a comparison: two of noise and two crops of the first frames, of odd sizes.

    Parameters
    ----------
    frames
        Photographs, each of shape (1, 3, H, W), float32, in ``[0, value_range]``; there may be none.
    multiple
        Height and width are odd multiples of this.
    value_range
        The largest value of an input pixel, 1 or 255.
    seed
        Seed of the noise.
    side
        The shorter side of the largest image, about.
    """
    generator = torch.Generator().manual_seed(seed)
    size = odd_multiple(side, multiple), odd_multiple(side * 4 // 3, multiple)
    small = (odd_multiple(side * 2 // 3, multiple),) * 2
    noise = [torch.rand(1, 3, *shape, generator=generator) * value_range for shape in (size, small)]
    images = [ProofImage("random", pixels) for pixels in noise]
    return images + [ProofImage("natural", crop) for crop in _crops(frames, size, multiple)]


def _crops(frames: Sequence[Tensor], size: tuple[int, int], multiple: int) -> Iterator[Tensor]:
    """Cut the first frame in its middle and the second in its corner."""
    for index, frame in enumerate(frames[:2]):
        rows, columns = (min(n, m // multiple * multiple) for n, m in zip(size, frame.shape[-2:], strict=True))
        top = (frame.shape[-2] - rows) // 2 * (1 - index)
        left = (frame.shape[-1] - columns) // 2 * (1 - index)
        if rows and columns:
            yield frame[..., top : top + rows, left : left + columns].float().contiguous()


@torch.no_grad()
def accepted_multiple(network: nn.Module, *, declared: int = 1, channels: int = 3) -> int:
    """Find the smallest multiple of which the network takes an image; a network that takes none gives 0.

    Parameters
    ----------
    network
        In eval mode.
    declared
        The multiple that the manifest declares; only multiples of it are tried.
    channels
        Channels of the input image.
    """
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))

    def accepts(multiple: int) -> bool:
        size = odd_multiple(24, multiple)
        try:
            output = network(torch.full((1, channels, size, size), 0.5, dtype=like.dtype, device=like.device))
        except Exception:  # noqa: BLE001  # foreign code raises anything; the next size may do
            return False
        return isinstance(output, Tensor) and output.shape[-1] % size == 0

    return smallest_multiple(accepts, declared) or 0


@torch.no_grad()
def outputs(network: nn.Module, images: Sequence[ProofImage], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Run the network on each image; the outputs are copies, since a network may reuse its buffer."""
    return [network(image.pixels.to(dtype)).clone() for image in images]


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
        The inputs.
    value_range
        The largest value of an output pixel; the differences are fractions of it.

    Returns
    -------
    Difference
        ``inf`` where shapes differ or a value is not finite where the other form's is.
    """
    total = Difference()
    for reference, candidate, image in zip(expected, actual, images, strict=True):
        total = total.joined(_one_difference(reference, candidate, image, value_range))
    return total


def _one_difference(reference: Tensor, candidate: Tensor, image: ProofImage, value_range: float) -> Difference:
    if reference.shape != candidate.shape:
        return Difference(random=math.inf, natural=math.inf, interior=math.inf, border=math.inf)
    gap = _gap(reference.double() / value_range, candidate.double() / value_range)
    scale = max(1, reference.shape[-1] // image.pixels.shape[-1])
    interior, border = _split(gap, BORDER * scale)
    largest = max(interior, border)
    by_kind = {image.kind: largest}
    return Difference(by_kind.get("random", 0.0), by_kind.get("natural", 0.0), interior, border)


def _gap(reference: Tensor, candidate: Tensor) -> Tensor:
    """Give the difference after clamping, or in units of the output where clamping would hide it."""
    sound = reference.isfinite() & candidate.isfinite()
    both_unsound = ~reference.isfinite() & ~candidate.isfinite()
    clipped = ((reference <= 0) | (reference >= 1)).double().mean().item()
    if clipped > SATURATED:
        gap = (reference - candidate).abs() / max(1.0, reference[sound].abs().max().item() if sound.any() else 1.0)
    else:
        gap = (reference.clamp(0, 1) - candidate.clamp(0, 1)).abs()
    return torch.where(both_unsound, 0.0, torch.where(sound, gap, math.inf))


def _split(gap: Tensor, width: int) -> tuple[float, float]:
    inner = gap[..., width:-width, width:-width]
    outer = gap.clone()
    outer[..., width:-width, width:-width] = 0
    return (inner.max().item() if inner.numel() else 0.0), outer.max().item()
