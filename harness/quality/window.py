"""Windows for the local means and variances of SSIM."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Separable window, applied only at positions where it lies inside the image.

    Attributes
    ----------
    description
        Description as a noun phrase.
    taps
        One-dimensional weights: an odd number of them, symmetric, with sum 1.
    covariance_factor
        Factor of variances and covariances: 1 for weighted moments, N / (N - 1) for unbiased sample estimates.
    """

    description: str
    taps: tuple[float, ...]
    covariance_factor: float = 1.0


def gaussian_window(size: int = 11, sigma: float = 1.5) -> Window:
    """Return the Gaussian window of Wang et al. (2004), with the taps of OpenCV's ``getGaussianKernel``."""
    radius = size // 2
    raw = [math.exp(-(x * x) / (2 * sigma * sigma)) for x in range(-radius, radius + 1)]
    # Exactly rounded, so that the taps do not depend on the order of summation.
    total = math.fsum(raw)
    return Window(f"Gaussian {size}x{size}, sigma {sigma}", tuple(value / total for value in raw))


def uniform_window(size: int = 7) -> Window:
    """Return the default window of scikit-image: uniform weights with unbiased sample variances."""
    factor = size * size / (size * size - 1)  # Bessel's correction for the size * size samples of a window
    return Window(f"uniform {size}x{size} with sample covariance", (1 / size,) * size, factor)


GAUSSIAN = gaussian_window()
UNIFORM = uniform_window()
