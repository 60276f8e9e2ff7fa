"""Compute LPIPS with the package lpips or torchmetrics, whichever is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import UsageError

Distance = Callable[[Tensor, Tensor], Tensor]


class Lpips:
    """The perceptual distance LPIPS (Zhang et al., 2018) with AlexNet: 0 for identical images, lower is better."""

    def require(self) -> None:
        """Set the distance up, once for all calls.

        Raises
        ------
        UsageError
            No package has it, or AlexNet's weights are neither here nor can be downloaded.
        """
        require_lpips()

    def __call__(self, sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
        """Return the distance of two images H x W x 3, uint8, with sides of at least 64 pixels.

        Raises
        ------
        UsageError
            As `require` does.
        """
        with torch.inference_mode():
            return float(require_lpips()(_frame(sr), _frame(hr)))


LPIPS = Lpips()


@cache
def require_lpips() -> Distance:
    """Return the distance of two frames 1 x 3 x H x W in [-1, 1], which has been tried.

    Raises
    ------
    UsageError
        See `Lpips.require`.
    """
    # The package of the metric's authors has precedence.
    build = _from_lpips() or _from_torchmetrics()
    if build is None:
        raise UsageError("LPIPS needs the package lpips", hint="install it: python -m pip install lpips")
    try:
        with warnings.catch_warnings():  # torchvision warns about deprecated arguments that these packages pass
            warnings.simplefilter("ignore")
            # A trial call is needed: torchmetrics loads the weights when the distance is called, not when it is built.
            distance = build()
            distance(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
    except Exception as error:
        raise UsageError(
            f"LPIPS cannot be set up ({type(error).__name__}: {error})",
            hint="it downloads AlexNet's weights once: connect to the network, or copy them into torch's cache folder",
            where=torch.hub.get_dir(),
        ) from error
    return distance


def _from_lpips() -> Callable[[], Distance] | None:
    try:
        import lpips as package
    except ImportError:
        return None

    def build() -> Any:
        return package.LPIPS(net="alex", verbose=False).eval()

    return build


def _from_torchmetrics() -> Callable[[], Distance] | None:
    try:
        import torchvision  # noqa: F401  torchmetrics loads AlexNet from it
        from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
    except ImportError:
        return None
    # The functional form has no state, which the class has: several threads evaluate images at the same time.
    return lambda: partial(learned_perceptual_image_patch_similarity, net_type="alex")


def _frame(image: NDArray[np.uint8]) -> Tensor:
    return torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1.0
