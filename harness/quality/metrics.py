"""Metrics besides PSNR and SSIM: functions that the harness or installed packages declare."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from harness.plugins import Registry

Metric = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]
"""A function of an SR and an HR image, both H x W x 3 uint8, that returns one number.

It may have an attribute ``require``, a function without arguments that raises UsageError where something that the
metric needs is missing; that is called before anything is measured.
"""


def _metric(loaded: object) -> Metric:
    if not callable(loaded):
        raise TypeError(f"it is a {type(loaded).__name__}, not a function")
    return cast("Metric", loaded)


METRICS: Registry[Metric] = Registry("harness.metrics", "metric", _metric)


def get_metric(name: str, registry: Registry[Metric] = METRICS) -> Metric:
    """Return a metric by name, ready to be called.

    Raises
    ------
    UsageError
        There is no such metric, it cannot be loaded, or what it needs is missing.
    """
    metric = registry.get(name)
    # Most metrics are plain functions without this attribute.
    require = getattr(metric, "require", None)
    if require is not None:
        require()
    return metric


def list_metrics() -> list[str]:
    """Return the names of all metrics besides PSNR and SSIM."""
    return METRICS.names()
