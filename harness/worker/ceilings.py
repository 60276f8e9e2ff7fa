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

from harness.worker.clock import Clock, clock_for

_MIN_CALLS = 3
_LAUNCHES = 500


@dataclass(frozen=True, slots=True)
class Workload:
    """Sizes of the measured operations.

    Attributes
    ----------
    side
        Height and width of the matrices.
    convolution
        Number of input and output channels, and height and width of the image.
    copy_bytes
        Size of the copied tensor, bytes; much larger than the last-level cache.
    seconds
        Duration of each measurement without its first call, seconds.
    """

    side: int
    convolution: tuple[int, int]
    copy_bytes: int
    seconds: float = 0.15


PROCESSOR = Workload(1024, (128, 64), 128 << 20)
"""For CPUs: input and weights of the convolution fit into the cache of a core."""
ACCELERATOR = Workload(8192, (512, 256), 1 << 30)


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


def measure_ceilings(
    device: torch.device,
    dtype: torch.dtype,
    workload: Workload | None = None,
    make_clock: Callable[[torch.device], Clock] = clock_for,
) -> Measured:
    """Measure the peak rates of `device` for `dtype`, which takes about half a second.

    Each rate is that of the fastest call, because other programs can only slow a call down.

    Parameters
    ----------
    device
        Torch device to measure.
    dtype
        Number format of the operands.
    workload
        Sizes of the operations; by default `PROCESSOR` on the CPU, else `ACCELERATOR`.
    make_clock
        Returns a clock for the device; called once for each of the four measurements.
    """
    work = workload or (PROCESSOR if device.type == "cpu" else ACCELERATOR)

    def fastest_s(call: Callable[[], Tensor]) -> float:
        return _fastest_s(make_clock(device), call, work.seconds)

    elements = work.copy_bytes // dtype.itemsize
    source, target = (torch.zeros(elements, dtype=dtype, device=device) for _ in range(2))
    copy_s = fastest_s(lambda: target.copy_(source))
    left, right = (torch.rand(work.side, work.side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    matmul_rate = work.side**3 / fastest_s(lambda: torch.mm(left, right, out=product))
    # Different libraries implement matrix products and convolutions; on a CPU their rates may differ by a factor of 4.
    channels, side = work.convolution
    image, weight = _convolution_operands(channels, side, device, dtype)
    convolution_s = fastest_s(lambda: functional.conv2d(image, weight, padding=1))
    element = torch.zeros(1, dtype=dtype, device=device)
    launches_s = fastest_s(lambda: _launch_all(element))
    # A 3x3 convolution takes 9 multiply-accumulates for each pair of channels and each pixel.
    macs_per_s = max(matmul_rate, channels**2 * 9 * side**2 / convolution_s)
    return Measured(macs_per_s, 2 * elements * dtype.itemsize / copy_s, launches_s / _LAUNCHES)


def _convolution_operands(channels: int, side: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    image, weight = (
        torch.rand(shape).to(device, dtype).contiguous(memory_format=torch.channels_last)
        for shape in ((1, channels, side, side), (channels, channels, 3, 3))
    )
    return image, weight


def _launch_all(element: Tensor) -> Tensor:
    for _ in range(_LAUNCHES):
        element.add_(1)
    return element


def _fastest_s(clock: Clock, call: Callable[[], Tensor], seconds: float) -> float:
    clock.time(call)  # warm-up: loads kernels and allocates workspaces
    end = time.monotonic() + seconds
    times: list[float] = []
    while len(times) < _MIN_CALLS or time.monotonic() < end:
        times.append(clock.time(call).ms)
    return min(times) / 1e3
