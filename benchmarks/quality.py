"""Compare implementations of PSNR and SSIM, on RGB and on Y, on one 4K image pair.

Run ``python benchmarks/quality.py [--rounds N] [SR.png HR.png]``. It requires opencv-python-headless; torchmetrics is
included if it is installed. Times are ratios to an implementation of the definition with OpenCV in float64, because
absolute times depend on the machine. CPU time (process clock) and wall time (monotonic clock) are medians over rounds
in which each implementation runs once. Peak memory is measured in a separate process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data import read_rgb, write_png
from harness.quality import evaluate_pair

Image = NDArray[np.uint8]
Figures = tuple[float, float, float, float]

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
LUMA = np.array([65.481, 128.553, 24.966]) / 255


def make_pair() -> tuple[Image, Image]:
    """Return a synthetic pair (SR, HR) of 2160 x 3840 images; SR has errors similar to blur and noise."""
    rng = np.random.default_rng(0)
    hr = np.zeros((2160, 3840, 3))
    for size in (8, 40, 120):
        coarse = rng.normal(0, 30, (2160 // size + 2, 3840 // size + 2, 3))
        hr += np.kron(coarse, np.ones((size, size, 1)))[:2160, :3840]
    hr = np.clip(hr + 128, 0, 255)
    sr = (hr + np.roll(hr, 1, axis=1)) / 2 + rng.normal(0, 3, hr.shape)
    return np.clip(sr, 0, 255).round().astype(np.uint8), hr.round().astype(np.uint8)


def psnr(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the PSNR in dB, computed in float64."""
    return float(10 * np.log10(255**2 / np.mean((x - y) ** 2)))


def opencv(sr: Image, hr: Image) -> Figures:
    """Return the four metrics from their definitions, with OpenCV's 2-D filter as in the scripts of the challenge."""
    import cv2

    taps = cv2.getGaussianKernel(11, 1.5)
    window = taps @ taps.T

    def mean(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.filter2D(plane, -1, window)[5:-5, 5:-5])

    def ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        mu_x, mu_y = mean(x), mean(y)
        var_x, var_y, cov = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2, mean(x * y) - mu_x * mu_y
        luminance = (2 * mu_x * mu_y + C1) / (mu_x**2 + mu_y**2 + C1)
        return float((luminance * (2 * cov + C2) / (var_x + var_y + C2)).mean())

    x, y = sr.astype(np.float64), hr.astype(np.float64)
    luma_x, luma_y = x @ LUMA + 16, y @ LUMA + 16
    ssim_rgb = np.mean([ssim(np.ascontiguousarray(x[..., c]), np.ascontiguousarray(y[..., c])) for c in range(3)])
    return psnr(x, y), psnr(luma_x, luma_y), float(ssim_rgb), ssim(luma_x, luma_y)


def scikit_image(sr: Image, hr: Image) -> Figures:
    """Return the four metrics computed by scikit-image."""
    from skimage.metrics import structural_similarity

    def ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        return float(structural_similarity(x, y, channel_axis=2 if x.ndim == 3 else None, **settings))

    x, y = sr.astype(np.float64), hr.astype(np.float64)
    luma_x, luma_y = x @ LUMA + 16, y @ LUMA + 16
    return psnr(x, y), psnr(luma_x, luma_y), ssim(x, y), ssim(luma_x, luma_y)


def torchmetrics(sr: Image, hr: Image) -> Figures:
    """Return the four metrics computed by torchmetrics, in float32 as is usual."""
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    x, y = (torch.from_numpy(image).permute(2, 0, 1)[None].float() for image in (sr, hr))
    weights = torch.from_numpy(LUMA).float().view(1, 3, 1, 1)
    luma_x, luma_y = ((image * weights).sum(1, keepdim=True) + 16 for image in (x, y))
    pairs = ((x, y), (luma_x, luma_y))
    psnrs = [float(peak_signal_noise_ratio(a, b, data_range=255.0)) for a, b in pairs]
    ssims = [float(structural_similarity_index_measure(a, b, data_range=255.0)) for a, b in pairs]
    return psnrs[0], psnrs[1], ssims[0], ssims[1]


def ours(threads: int | None) -> Callable[[Image, Image], Figures]:
    """Return a function that computes the four metrics with the harness; None uses all cores."""

    def measure(sr: Image, hr: Image) -> Figures:
        quality = evaluate_pair(sr, hr, threads=threads)
        return quality.psnr_rgb, quality.psnr_y, quality.ssim_rgb, quality.ssim_y

    return measure


CONTENDERS: dict[str, Callable[[Image, Image], Figures]] = {
    "OpenCV float64": opencv,
    "harness, 1 thread": ours(1),
    "harness, all cores": ours(None),
    "scikit-image": scikit_image,
}
if importlib.util.find_spec("torchmetrics"):
    CONTENDERS["torchmetrics"] = torchmetrics


def main() -> None:
    """Run the comparison and print its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, help="SR and HR image, instead of the synthetic pair")
    parser.add_argument("--rounds", type=int, default=5, help="number of timings of each implementation")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sr, hr = (read_rgb(path) for path in options.images) if options.images else make_pair()
    if options.peak:
        print(json.dumps(peak_of(options.peak, sr, hr)))
        return
    figures = {name: run(sr, hr) for name, run in CONTENDERS.items()}  # compiles and warms up
    times = time_interleaved(sr, hr, options.rounds)
    print_table(figures, times, [str(path) for path in options.images])
    print_pipeline(sr, hr, options.rounds)


def time_interleaved(sr: Image, hr: Image, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return (CPU seconds, wall seconds) per implementation and round; every second round is in reverse order."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    for index in range(rounds):
        for name in list(CONTENDERS)[:: 1 if index % 2 == 0 else -1]:
            cpu, wall = time.process_time(), time.perf_counter()
            CONTENDERS[name](sr, hr)
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return times


def peak_of(name: str, sr: Image, hr: Image) -> int:
    """Return the increase of peak memory of this process by one evaluation in bytes, after a small warm-up."""
    CONTENDERS[name](sr[:64, :64], hr[:64, :64])
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak to the current resident size
    before = resident("VmRSS")
    CONTENDERS[name](sr, hr)
    return resident("VmHWM") - before


def resident(field: str) -> int:
    """Return the resident size (``VmRSS``) or its peak (``VmHWM``) of this process on Linux, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def peak_in_its_own_process(name: str, images: list[str]) -> int:
    """Return `peak_of` measured in a new process, whose peak was not raised by other work."""
    command = [sys.executable, __file__, "--peak", name, *images]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    return int(json.loads(done.stdout))


def print_table(figures: dict[str, Figures], times: dict[str, list[tuple[float, float]]], images: list[str]) -> None:
    """Print one line per implementation, with times as ratios to OpenCV."""
    print(f"{'':20} {'CPU':>7} {'wall':>7} {'peak MiB':>9} {'PSNR error dB':>14} {'SSIM error':>11}")
    with tempfile.TemporaryDirectory() as folder:
        paths = images or save_pair(Path(folder))
        for name, own in figures.items():
            reference = figures["OpenCV float64"]
            psnr_error = max(abs(a - b) for a, b in zip(own[:2], reference[:2], strict=True))
            ssim_error = max(abs(a - b) for a, b in zip(own[2:], reference[2:], strict=True))
            cpu, wall = (ratio(times["OpenCV float64"], times[name], column) for column in (0, 1))
            peak = peak_in_its_own_process(name, paths) / 2**20
            print(f"{name:20} {cpu:6.1f}x {wall:6.1f}x {peak:9.0f} {psnr_error:14.1e} {ssim_error:11.1e}")


def save_pair(folder: Path) -> list[str]:
    """Write the synthetic pair to files, so that other processes need no memory to create it."""
    paths = [folder / "sr.png", folder / "hr.png"]
    for path, image in zip(paths, make_pair(), strict=True):
        write_png(path, image)
    return [str(path) for path in paths]


def ratio(reference: list[tuple[float, float]], own: list[tuple[float, float]], column: int) -> float:
    """Return the speed-up over the reference, the median over rounds of the ratio within a round."""
    return statistics.median(a[column] / b[column] for a, b in zip(reference, own, strict=True))


def print_pipeline(sr: Image, hr: Image, rounds: int) -> None:
    """Print the time per 4K image outside inference: decoding the HR image, copying the output, and the metrics."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hr.png"
        write_png(path, hr)
        seconds = []
        for _ in range(rounds):
            begin = time.perf_counter()
            evaluate_pair(sr.copy(), read_rgb(path))
            seconds.append(time.perf_counter() - begin)
    print(f"decode, transfer and the four metrics of one 4K image: {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
