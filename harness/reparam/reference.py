"""The given network's answers, against which every other form of it is judged."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from harness.reparam.proof import Difference, ProofImage, difference, outputs, proof_images

DOUBLE_TOLERANCE = 1e-11
"""Largest error of a collapsed network on [0, 1] in float64."""

SINGLE_TOLERANCE = 1e-5
"""Largest error of a collapsed network on [0, 1] in float32."""


class Reference:
    """One form of a network, with its answers to the images of the comparison.

    Parameters
    ----------
    network
        In eval mode, float32; it is not changed.
    frames
        Photographs, each of shape (1, 3, H, W), in ``[0, value_range]``.
    multiple
        Height and width of an image must be multiples of this.
    value_range
        The largest pixel value, 1 or 255.
    """

    def __init__(self, network: nn.Module, frames: Sequence[Tensor], *, multiple: int, value_range: float) -> None:
        self.network = network
        self._frames = frames
        self._multiple = multiple
        self._value_range = value_range

    def other(self, network: nn.Module) -> Reference:
        """Make a reference of another network on the same images."""
        return Reference(network, self._frames, multiple=self._multiple, value_range=self._value_range)

    @cached_property
    def images(self) -> list[ProofImage]:
        """The images of the comparison."""
        return proof_images(self._frames, multiple=self._multiple, value_range=self._value_range)

    @cached_property
    def single(self) -> list[Tensor]:
        """Answers in float32, each of a fresh copy: some training forms change in their first forward."""
        return [outputs(copy.deepcopy(self.network), [image])[0] for image in self.images]

    @cached_property
    def few_images(self) -> list[ProofImage]:
        """Images of few pixels, for float64, which is slow."""
        return proof_images(self._frames, multiple=self._multiple, value_range=self._value_range, side=20)

    @property
    def small_image(self) -> Tensor:
        """A photograph of few pixels, on which the graph of the network is recorded."""
        return self.few_images[-1].pixels

    @cached_property
    def double(self) -> list[Tensor]:
        """Answers in float64 to the images of few pixels."""
        return outputs(copy.deepcopy(self.network).double(), self.few_images, torch.float64)

    def difference(self, other: nn.Module) -> Difference:
        """Compare another form in float32; it may raise whatever the form raises."""
        return self._against(self.single, outputs(copy.deepcopy(other), self.images), self.images)

    def refutation(self, other: nn.Module, exact: nn.Module) -> str:
        """Say why a collapsed form is not equal to within rounding; empty where it is.

        Parameters
        ----------
        other
            The collapsed form in float32.
        exact
            The same before its kernels were rounded, in float64.
        """
        gap = self._against(self.double, outputs(exact, self.few_images, torch.float64), self.few_images)
        if gap.largest > DOUBLE_TOLERANCE:
            return f"it differs in float64 by {gap}"
        rounding = self.difference(other)
        if rounding.largest <= SINGLE_TOLERANCE or self._rounds_worse_than(other):
            return ""
        return f"it differs in float32 by {rounding}"

    def _rounds_worse_than(self, other: nn.Module) -> bool:
        """Whether this form's own float32 is farther from its float64 than the other's is: then it is no judge."""
        before, after = (
            self._against(self.double, outputs(copy.deepcopy(form), self.few_images), self.few_images)
            for form in (self.network, other)
        )
        return after.largest <= before.largest

    def _against(self, expected: list[Tensor], actual: list[Tensor], images: list[ProofImage]) -> Difference:
        return difference(expected, actual, images, value_range=self._value_range)
