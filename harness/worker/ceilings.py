"""Measure the peak rates of a device (the ceilings of the roofline): arithmetic, memory bandwidth, launch overhead.

Runs in a worker without submitted code, with the same threads and precision as the networks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from harness.worker.clock import clock_for

_SECONDS = 0.15  # per measurement, without the first call
_MIN_CALLS = 3
_MATRIX_SIDE = {"cpu": 1024}
_ACCELERATOR_MATRIX_SIDE = 8192
_CONVOLUTION = {"cpu": (128, 64)}  # channels, height = width: small enough for the cache of a CPU core
_ACCELERATOR_CONVOLUTION = (512, 256)
_COPY_BYTES = {"cpu": 128 << 20}  # much larger than the last-level cache
_ACCELERATOR_COPY_BYTES = 1 << 30
_LAUNCHES = 500


@dataclass(frozen=True, slots=True)
class Measured:
    """Peak rates of a device.

    Attributes
    ----------
    macs_per_s
        Multiply-accumulates per second of a square matrix product or a 3x3 convolution, whichever is faster.
    bytes_per_s
        Bytes read plus bytes written per second by a copy.
    launch_s
        Time per operator in a sequence of one-element operators, seconds.
    """

    macs_per_s: float
    bytes_per_s: float
    launch_s: float


def measure_ceilings(device: torch.device, dtype: torch.dtype) -> Measured:
    """Measure the peak rates of `device` for `dtype`, which takes about half a second.

    Each rate is that of the fastest call, because other programs can only slow a call down.
    """
    elements = _COPY_BYTES.get(device.type, _ACCELERATOR_COPY_BYTES) // dtype.itemsize
    source, target = (torch.zeros(elements, dtype=dtype, device=device) for _ in range(2))
    copy_s = _fastest_s(device, lambda: target.copy_(source))
    macs_per_s = max(_matmul_rate(device, dtype), _convolution_rate(device, dtype))
    return Measured(macs_per_s, 2 * elements * dtype.itemsize / copy_s, _launch_s(device, dtype))


def _matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    side = _MATRIX_SIDE.get(device.type, _ACCELERATOR_MATRIX_SIDE)
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    return side**3 / _fastest_s(device, lambda: torch.mm(left, right, out=product))


def _convolution_rate(device: torch.device, dtype: torch.dtype) -> float:
    # Different libraries implement matrix products and convolutions; on a CPU their rates may differ by a factor of 4.
    channels, side = _CONVOLUTION.get(device.type, _ACCELERATOR_CONVOLUTION)
    image, weight = (
        torch.rand(shape).to(device, dtype).contiguous(memory_format=torch.channels_last)
        for shape in ((1, channels, side, side), (channels, channels, 3, 3))
    )
    return channels**2 * 9 * side**2 / _fastest_s(device, lambda: functional.conv2d(image, weight, padding=1))


def _fastest_s(device: torch.device, call: Callable[[], Tensor]) -> float:
    clock = clock_for(device)
    clock.time(call)  # warm-up: loads kernels and allocates workspaces
    end = time.monotonic() + _SECONDS
    times: list[float] = []
    while len(times) < _MIN_CALLS or time.monotonic() < end:
        times.append(clock.time(call).ms)
    return min(times) / 1e3


def _launch_s(device: torch.device, dtype: torch.dtype) -> float:
    element = torch.zeros(1, dtype=dtype, device=device)

    def launch_all() -> Tensor:
        for _ in range(_LAUNCHES):
            element.add_(1)
        return element

    return _fastest_s(device, launch_all) / _LAUNCHES
