"""Metrics besides PSNR and SSIM: functions of installed packages, and LPIPS where its package is."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.plugins import list_plugins, load_plugin

Metric = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]
"""A function of an SR and an HR image, both H x W x 3 uint8, that returns one number."""

_GROUP = "harness.metrics"


def lpips(sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
    """Return the perceptual distance LPIPS (Zhang et al., 2018) with AlexNet: 0 for identical images, lower is better.

    Parameters
    ----------
    sr, hr
        H x W x 3, uint8.

    Raises
    ------
    UsageError
        The package lpips is not installed. It downloads AlexNet's weights on first use.
    """
    import torch

    def frame(image: NDArray[np.uint8]) -> torch.Tensor:
        return torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1.0

    with torch.inference_mode():
        return float(_alexnet()(frame(sr), frame(hr)))


@cache
def _alexnet() -> Any:
    try:
        import lpips as package
    except ImportError as error:
        raise UsageError("LPIPS needs the package lpips", mend="install it: pip install lpips") from error
    return package.LPIPS(net="alex", verbose=False).eval()


METRICS: dict[str, Metric] = {"lpips": lpips}


def get_metric(name: str) -> Metric:
    """Return a metric by name: a built-in one, or one of an installed package (entry-point group ``harness.metrics``).

    Raises
    ------
    UsageError
        There is no such metric, or it cannot be called.
    """
    if name in METRICS:
        return METRICS[name]
    if name not in list_metrics():
        raise UsageError(f"no metric is called {name!r}", mend=f"choose one of: {', '.join(list_metrics())}")
    loaded = load_plugin(_GROUP, name)
    if not callable(loaded):
        raise UsageError(f"metric plugin {name!r} is a {type(loaded).__name__}, not a function", where=_GROUP)
    return cast("Metric", loaded)


def list_metrics() -> list[str]:
    """Return the names of all metrics besides PSNR and SSIM."""
    return sorted({*METRICS, *(plugin.name for plugin in list_plugins(_GROUP))})
