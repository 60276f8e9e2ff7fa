"""Outputs of the original network, with which all other forms are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from harness.complexity.copying import copied
from harness.complexity.input_size import odd_multiple, rounded_up
from harness.reparam.proof import Difference, ProofImage, difference, image_of_size, outputs, proof_images
from harness.reparam.sizes import Size, may_depend, stand_ins

DOUBLE_TOLERANCE = 1e-11
"""Largest error of a collapsed network on [0, 1] in float64."""

SINGLE_TOLERANCE = 1e-5
"""Largest error of a collapsed network on [0, 1] in float32."""

SIDES = (20, 37, 64, 96, 144)
"""Sides of the largest image of a comparison that are tried: networks with strided pooling need larger images."""


class Reference:
    """One form of a network with its outputs for the images of the comparison.

    Parameters
    ----------
    network
        Network in eval mode, float32; it is not changed.
    frames
        Photographs, each of shape (1, 3, H, W), in ``[0, value_range]``.
    multiple
        Height and width of an image must be multiples of this.
    value_range
        Largest pixel value, 1 or 255.
    sizes
        Heights and widths of the images for which the network is used.
    """

    def __init__(
        self,
        network: nn.Module,
        frames: Sequence[Tensor],
        *,
        multiple: int,
        value_range: float,
        sizes: Sequence[Size] = (),
    ) -> None:
        self.network = network
        self._frames = frames
        self._multiple = multiple
        self._value_range = value_range
        self.sizes = tuple(sizes)

    def with_network(self, network: nn.Module) -> Reference:
        """Create a reference for another network on the same images."""
        multiple, value_range = self._multiple, self._value_range
        return Reference(network, self._frames, multiple=multiple, value_range=value_range, sizes=self.sizes)

    @cached_property
    def images(self) -> list[ProofImage]:
        """Inputs for float32."""
        # 37 is the default side of `proof_images`.
        return self._images(max(37, self._least_side))

    @cached_property
    def single(self) -> list[Tensor]:
        """Outputs in float32, each of a new copy because some training forms change in their first forward pass."""
        return [outputs(copied(self.network), [image])[0] for image in self.images]

    @cached_property
    def small_images(self) -> list[ProofImage]:
        """Smaller inputs for float64, which is slow."""
        return self._images(self._least_side)

    def _images(self, side: int) -> list[ProofImage]:
        return proof_images(self._frames, multiple=self._multiple, value_range=self._value_range, side=side)

    @cached_property
    def _least_side(self) -> int:
        """The smallest of :data:`SIDES` at which the network takes all images; the first if there is none."""
        network = copied(self.network)
        # If there is none, the first comparison raises the network's own exception.
        return next((side for side in SIDES if self._takes(network, side)), SIDES[0])

    def _takes(self, network: nn.Module, side: int) -> bool:
        try:
            outputs(network, self._images(side))
        except Exception:  # noqa: BLE001  # submitted code may raise anything; a larger image may do
            return False
        return True

    @property
    def small_image(self) -> Tensor:
        """Small photograph (noise if there are no photographs) on which the graph is traced."""
        return self.small_images[-1].pixels

    @cached_property
    def double(self) -> list[Tensor]:
        """Outputs in float64 for the small images."""
        return outputs(copied(self.network).double(), self.small_images, torch.float64)

    @cached_property
    def used(self) -> list[tuple[ProofImage, Tensor]]:
        """Inputs that stand for the sizes at which the network is used, as far as it takes them, with its outputs."""
        return list(self._pairs_in_use())

    def _pairs_in_use(self) -> Iterator[tuple[ProofImage, Tensor]]:
        standing = {one: None for size in self.sizes for one in stand_ins(size, multiple=self._multiple)}
        for size in standing:
            # The short side of a strip may be too short for a network.
            wider = tuple(odd_multiple(max(side, self._least_side), self._multiple) for side in size)
            for height, width in (size, wider):
                image = image_of_size(self._frames, height, width, self._value_range)
                try:
                    output = outputs(copied(self.network), [image])[0]
                except Exception:  # noqa: BLE001, S112  # submitted code may raise anything; a wider strip may do
                    continue
                yield image, output
                break

    def may_depend_on_size(self, other: nn.Module) -> bool:
        """Return whether this form or another one may do something else at the sizes at which they are used."""
        used = [(rounded_up(h, self._multiple), rounded_up(w, self._multiple)) for h, w in self.sizes]
        compared = [(image.pixels.shape[-2], image.pixels.shape[-1]) for image in self.images]
        return may_depend([self.network, other], used, compared)

    def mismatch_in_use(self, other: nn.Module, tolerance: float, exact: nn.Module | None = None) -> str:
        """Return where another form differs at the sizes at which the network is used; empty if it does not.

        Parameters
        ----------
        other
            Another form in float32. Its exceptions are propagated.
        tolerance
            Largest difference in float32.
        exact
            The other form in float64: larger differences are rounding errors if the forms agree in float64.
        """
        for image, expected in self.used:
            gap = self._compare([expected], outputs(copied(other), [image]), [image])
            if not gap.largest <= tolerance and (exact is None or not self._agrees_in_float64(exact, image)):
                height, width = image.pixels.shape[-2:]
                return f"it differs by {gap} at {height}x{width}"
        return ""

    def _agrees_in_float64(self, exact: nn.Module, image: ProofImage) -> bool:
        expected, actual = (
            outputs(form, [image], torch.float64) for form in (copied(self.network).double(), copied(exact))
        )
        return self._compare(expected, actual, [image]).largest <= DOUBLE_TOLERANCE

    def difference(self, other: nn.Module) -> Difference:
        """Compare another form in float32. Exceptions of that form are propagated."""
        return self._compare(self.single, outputs(copied(other), self.images), self.images)

    def mismatch(self, other: nn.Module, exact: nn.Module, *, measured: bool) -> str:
        """Return why a collapsed form differs by more than rounding errors; empty if it does not.

        Parameters
        ----------
        other
            Collapsed form in float32.
        exact
            Collapsed form in float64, before its kernels are rounded.
        measured
            Whether modules were measured. What was traced has no branches; what was measured may have some.
        """
        # Algebraic errors show in float64, where rounding errors are far below the tolerance.
        gap = self._compare(self.double, outputs(exact, self.small_images, torch.float64), self.small_images)
        if gap.largest > DOUBLE_TOLERANCE:
            return f"it differs in float64 by {gap}"
        # An ill-conditioned network may exceed the float32 tolerance by its own rounding errors. The collapsed form is
        # then accepted if it is at least as close to the float64 result.
        rounding = self.difference(other)
        if rounding.largest > SINGLE_TOLERANCE and not self._is_less_accurate_than(other):
            return f"it differs in float32 by {rounding}"
        return self.mismatch_in_use(other, SINGLE_TOLERANCE, exact) if measured else ""

    def _is_less_accurate_than(self, other: nn.Module) -> bool:
        """Return whether this form's float32 output is at least as far from its float64 output as the other form's."""
        before, after = (
            self._compare(self.double, outputs(copied(form), self.small_images), self.small_images)
            for form in (self.network, other)
        )
        return after.largest <= before.largest

    def _compare(self, expected: list[Tensor], actual: list[Tensor], images: list[ProofImage]) -> Difference:
        return difference(expected, actual, images, value_range=self._value_range)
