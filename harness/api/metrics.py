"""PSNR and SSIM as metrics with a state, in the style of torchmetrics, for training loops and PyTorch Lightning."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from torch import Tensor, distributed, nn

from harness.api.images import Colour, Figure, check_colour, measured_each, psnr_of_pair, ssim_of_pair
from harness.errors import UsageError
from harness.quality.convention import get_convention
from harness.quality.evaluate import mean_psnr

if TYPE_CHECKING:
    from harness.api.images import Images


class ImageMetric(nn.Module):
    """Mean of a figure over the images of all batches, on all processes of the default process group.

    The values of all images are kept, as float64, so that the mean does not depend on how images are batched or shared
    among processes. A sampler that repeats images to fill the last batch of a process counts them twice.

    Parameters
    ----------
    convention
        Name of a convention, see :func:`harness.psnr`.
    colour
        ``rgb`` or ``y``.
    scale
        Upscaling factor, required by conventions that crop a border of this width.

    Attributes
    ----------
    higher_is_better
        True.
    values
        Figure of each image since the last `reset`, of this process.
    """

    higher_is_better = True
    figure: Figure

    def __init__(self, convention: str = "harness", colour: Colour = "rgb", scale: int | None = None) -> None:
        super().__init__()
        check_colour(colour)
        self._rules = get_convention(convention)
        self._colour = colour
        self._border = self._rules.border_at(scale)
        # A list and not a buffer, which half() would round and to() would move.
        self.values: list[float] = []

    def update(self, sr: Images, hr: Images) -> None:
        """Add images; `sr` and `hr` are as for :func:`harness.psnr`."""
        self.values += self._measure(sr, hr)

    def compute(self) -> float:
        """Return the mean over all images of all processes. Every process must call it.

        Raises
        ------
        UsageError
            There are no images.
        """
        values = self.values
        if distributed.is_available() and distributed.is_initialized():
            gathered: list[Any] = [None] * distributed.get_world_size()
            # Processes may have different numbers of images, which gathering tensors does not permit.
            distributed.all_gather_object(gathered, values)
            values = [value for part in gathered for value in part]
        if not values:
            raise UsageError("the metric has no images", hint="call update before compute")
        return self._mean(values)

    def reset(self) -> None:
        """Forget all images."""
        self.values = []

    def forward(self, sr: Images, hr: Images) -> float:
        """Add images, and return the mean over them alone."""
        values = self._measure(sr, hr)
        self.values += values
        return self._mean(values)

    def _measure(self, sr: Images, hr: Images) -> list[float]:
        # So that the values keep no graph of gradients alive.
        sr, hr = (image.detach() if isinstance(image, Tensor) else image for image in (sr, hr))
        return measured_each(type(self).figure, sr, hr, self._rules, self._colour, self._border)

    def _mean(self, values: list[float]) -> float:
        return fmean(values)


class PSNR(ImageMetric):
    """Mean peak signal-to-noise ratio, dB; the convention determines how it is averaged over images."""

    figure = staticmethod(psnr_of_pair)

    def _mean(self, values: list[float]) -> float:
        return mean_psnr(values, self._rules)


class SSIM(ImageMetric):
    """Mean structural similarity."""

    figure = staticmethod(ssim_of_pair)
