"""What a device can do at best: a large matrix product or convolution, a large copy, a tiny operator.

Measured in a process of the harness's own, with the threads and the precision of the networks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from harness.worker.clock import clock_for

_SECONDS = 0.15  # for each, beside the first call
_LEAST_CALLS = 3
_SIDE = {"cpu": 1024}  # of the matrices
_ACCELERATOR_SIDE = 8192
_CONVOLUTION = {"cpu": (128, 64)}  # channels in and out, height and width: input and weights stay in a core's cache
_ACCELERATOR_CONVOLUTION = (512, 256)
_COPY_BYTES = {"cpu": 128 << 20}  # far beyond any cache
_ACCELERATOR_COPY_BYTES = 1 << 30
_TINY_CALLS = 500


@dataclass(frozen=True, slots=True)
class Measured:
    """Ceilings of a device.

    Attributes
    ----------
    macs_per_s
        Multiply-accumulates per second of a square matrix product or of a 3x3 convolution, whichever is faster.
    bytes_per_s
        Bytes read and written per second by a copy.
    launch_s
        Seconds from one tiny operator to the next.
    """

    macs_per_s: float
    bytes_per_s: float
    launch_s: float


def measure_ceilings(device: torch.device, dtype: torch.dtype) -> Measured:
    """Measure for about half a second; each figure is that of the fastest call, which others disturbed least."""
    elements = _COPY_BYTES.get(device.type, _ACCELERATOR_COPY_BYTES) // dtype.itemsize
    source, target = (torch.zeros(elements, dtype=dtype, device=device) for _ in range(2))
    copying = _fastest_s(device, lambda: target.copy_(source))
    macs_per_s = max(_product_rate(device, dtype), _convolution_rate(device, dtype))
    return Measured(macs_per_s, 2 * elements * dtype.itemsize / copying, _launch_s(device, dtype))


def _product_rate(device: torch.device, dtype: torch.dtype) -> float:
    side = _SIDE.get(device.type, _ACCELERATOR_SIDE)
    one, other = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(one)
    return side**3 / _fastest_s(device, lambda: torch.mm(one, other, out=product))


def _convolution_rate(device: torch.device, dtype: torch.dtype) -> float:
    # Matrix products and convolutions come from different libraries: on a processor one may be four times the other.
    channels, side = _CONVOLUTION.get(device.type, _ACCELERATOR_CONVOLUTION)
    image, weight = (
        torch.rand(shape).to(device, dtype).contiguous(memory_format=torch.channels_last)
        for shape in ((1, channels, side, side), (channels, channels, 3, 3))
    )
    return channels**2 * 9 * side**2 / _fastest_s(device, lambda: functional.conv2d(image, weight, padding=1))


def _fastest_s(device: torch.device, call: Callable[[], Tensor]) -> float:
    clock = clock_for(device)
    clock.time(call)
    end = time.monotonic() + _SECONDS
    times: list[float] = []
    while len(times) < _LEAST_CALLS or time.monotonic() < end:
        times.append(clock.time(call).ms)
    return min(times) / 1e3


def _launch_s(device: torch.device, dtype: torch.dtype) -> float:
    tiny = torch.zeros(1, dtype=dtype, device=device)

    def many() -> Tensor:
        for _ in range(_TINY_CALLS):
            tiny.add_(1)
        return tiny

    return _fastest_s(device, many) / _TINY_CALLS
