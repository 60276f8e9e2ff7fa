"""Reference implementation of PSNR and SSIM in NumPy, directly from their definitions.

It is slow and needs much memory for large images. `harness.quality.psnr` and `harness.quality.ssim` return the same
values and are tested against it.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from harness.quality.window import GAUSSIAN, Window

Floats = NDArray[np.float64]

# Stabilizing constants (K1 L)^2 and (K2 L)^2 of Wang et al. (2004), with K1 = 0.01, K2 = 0.03 and L = 255.
C1 = (0.01 * 255.0) ** 2
C2 = (0.03 * 255.0) ** 2


def mean_squared_error(x: Floats, y: Floats) -> float:
    """Return the mean squared difference of two arrays of equal shape."""
    return float(np.mean((x - y) ** 2))


def psnr_of(mse: float) -> float:
    """Return the PSNR 10 log10(255^2 / mse) in dB; ``inf`` if the error is zero."""
    return 10.0 * math.log10(255.0**2 / mse) if mse > 0 else math.inf


def mse_of(psnr: float) -> float:
    """Return the mean squared error that corresponds to a PSNR in dB; 0 for ``inf``."""
    return float(255.0**2 * 10.0 ** (-psnr / 10.0))


def ssim_plane(x: Floats, y: Floats, window: Window = GAUSSIAN) -> float:
    """Return the SSIM (Wang et al., 2004) of two planes of shape (H, W), averaged over valid window positions."""
    mean_x, mean_y = filter_valid(x, window), filter_valid(y, window)
    factor = window.covariance_factor
    variance_x = factor * (filter_valid(x * x, window) - mean_x**2)
    variance_y = factor * (filter_valid(y * y, window) - mean_y**2)
    covariance = factor * (filter_valid(x * y, window) - mean_x * mean_y)
    # With C3 = C2 / 2, the terms for contrast and structure of the definition are one fraction.
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    return float(np.mean(luminance * structure))


def filter_valid(plane: Floats, window: Window) -> Floats:
    """Return the weighted local means of a plane at all positions for which the window lies inside it."""
    taps = np.array(window.taps)
    views = np.lib.stride_tricks.sliding_window_view(plane, (len(taps), len(taps)))
    return cast("Floats", np.einsum("ijkl,k,l->ij", views, taps, taps))
