"""Metrics besides PSNR and SSIM: functions of installed packages, and LPIPS where its package is."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.plugins import list_plugins, load_plugin

Metric = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]
"""A function of an SR and an HR image, both H x W x 3 uint8, that returns one number."""

_GROUP = "harness.metrics"


def _lpips() -> Metric:
    from harness.quality.perceptual import lpips, require_lpips

    require_lpips()
    return lpips


METRICS: dict[str, Callable[[], Metric]] = {"lpips": _lpips}
"""What makes each built-in metric; raises UsageError where it cannot be had."""


def get_metric(name: str) -> Metric:
    """Return a metric by name: a built-in one, or one of an installed package (entry-point group ``harness.metrics``).

    Raises
    ------
    UsageError
        There is no such metric, it cannot be called, or what it needs is not here.
    """
    if name in METRICS:
        return METRICS[name]()
    if name not in list_metrics():
        raise UsageError(f"no metric is called {name!r}", hint=f"choose one of: {', '.join(list_metrics())}")
    loaded = load_plugin(_GROUP, name)
    if not callable(loaded):
        raise UsageError(f"metric plugin {name!r} is a {type(loaded).__name__}, not a function", where=_GROUP)
    return cast("Metric", loaded)


def list_metrics() -> list[str]:
    """Return the names of all metrics besides PSNR and SSIM."""
    return sorted({*METRICS, *(plugin.name for plugin in list_plugins(_GROUP))})
