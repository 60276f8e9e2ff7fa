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
    def small_image(self) -> Tensor:
        """A photograph of few pixels, on which the graph of the network is recorded."""
        return proof_images(self._frames, multiple=self._multiple, value_range=self._value_range, side=20)[-1].pixels

    @cached_property
    def single(self) -> list[Tensor]:
        """Answers in float32, each of a fresh copy: some training forms change in their first forward."""
        return [outputs(copy.deepcopy(self.network), [image])[0] for image in self.images]

    @cached_property
    def double(self) -> list[Tensor]:
        """Answers in float64."""
        return outputs(copy.deepcopy(self.network).double(), self.images, torch.float64)

    def difference(self, other: nn.Module) -> Difference:
        """Compare another form in float32; it may raise whatever the form raises."""
        actual = outputs(copy.deepcopy(other), self.images)
        return self._against(self.single, actual)

    def refutation(self, other: nn.Module) -> str:
        """Say why a collapsed form is not equal to within rounding; empty where it is."""
        actual = outputs(copy.deepcopy(other).double(), self.images, torch.float64)
        exact = self._against(self.double, actual)
        if exact.largest > DOUBLE_TOLERANCE:
            return f"it differs in float64 by {exact}"
        actual = outputs(copy.deepcopy(other), self.images)
        rounding = self._against(self.single, actual)
        if rounding.largest <= SINGLE_TOLERANCE:
            return ""
        # A network may round by more than that in its training form: its own float32 is then no better a judge.
        before, after = (self._against(self.double, answers) for answers in (self.single, actual))
        return "" if after.largest <= before.largest else f"it differs in float32 by {rounding}"

    def _against(self, expected: list[Tensor], actual: list[Tensor]) -> Difference:
        return difference(expected, actual, self.images, value_range=self._value_range)
