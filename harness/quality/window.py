"""The windows over which SSIM takes its local means and variances."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A separable window, applied where it lies wholly inside the image.

    Attributes
    ----------
    description
        The window as a phrase.
    taps
        One-dimensional weights; odd in number, symmetric, summing to 1.
    covariance_factor
        What variances are multiplied by: 1 for weighted moments, N / (N - 1) for unbiased sample variances.
    """

    description: str
    taps: tuple[float, ...]
    covariance_factor: float = 1.0


def gaussian_window(size: int = 11, sigma: float = 1.5) -> Window:
    """Return the Gaussian window of the SSIM paper (Wang et al. 2004) and of OpenCV's ``getGaussianKernel``."""
    radius = size // 2
    raw = [math.exp(-(x * x) / (2 * sigma * sigma)) for x in range(-radius, radius + 1)]
    total = math.fsum(raw)
    return Window(f"Gaussian {size}x{size}, sigma {sigma}", tuple(value / total for value in raw))


def uniform_window(size: int = 7) -> Window:
    """Return scikit-image's default: a uniform square with unbiased sample variances."""
    factor = size * size / (size * size - 1)
    return Window(f"uniform {size}x{size} with sample covariance", (1 / size,) * size, factor)


GAUSSIAN = gaussian_window()
UNIFORM = uniform_window()
