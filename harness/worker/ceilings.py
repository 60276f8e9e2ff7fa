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

from harness.worker.clock import Clock, clock_for

_LEAST_CALLS = 3
_TINY_CALLS = 500


@dataclass(frozen=True, slots=True)
class Workload:
    """What is computed.

    Attributes
    ----------
    side
        Height and width of the matrices.
    convolution
        Channels in and out, and height and width.
    copy_bytes
        Size of the tensor that is copied, far beyond any cache.
    seconds
        How long each is repeated, beside its first call.
    """

    side: int
    convolution: tuple[int, int]
    copy_bytes: int
    seconds: float = 0.15


PROCESSOR = Workload(1024, (128, 64), 128 << 20)
"""The convolution's input and weights stay in a core's cache."""
ACCELERATOR = Workload(8192, (512, 256), 1 << 30)


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


def measure_ceilings(
    device: torch.device,
    dtype: torch.dtype,
    workload: Workload | None = None,
    make_clock: Callable[[torch.device], Clock] = clock_for,
) -> Measured:
    """Measure for about half a second; each figure is that of the fastest call, which others disturbed least.

    Parameters
    ----------
    workload
        By default `PROCESSOR` on the CPU, else `ACCELERATOR`.
    make_clock
        Returns a clock for the device, one for each of a copy, a product, a convolution and a tiny operator.
    """
    work = workload or (PROCESSOR if device.type == "cpu" else ACCELERATOR)

    def fastest_s(call: Callable[[], Tensor]) -> float:
        return _fastest_s(make_clock(device), call, work.seconds)

    elements = work.copy_bytes // dtype.itemsize
    source, target = (torch.zeros(elements, dtype=dtype, device=device) for _ in range(2))
    copying = fastest_s(lambda: target.copy_(source))
    one, other = (torch.rand(work.side, work.side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(one)
    product_rate = work.side**3 / fastest_s(lambda: torch.mm(one, other, out=product))
    # Matrix products and convolutions come from different libraries: on a processor one may be four times the other.
    channels, side = work.convolution
    image, weight = _convolution_operands(channels, side, device, dtype)
    convolving = fastest_s(lambda: functional.conv2d(image, weight, padding=1))
    tiny = torch.zeros(1, dtype=dtype, device=device)
    launching = fastest_s(lambda: _many_tiny(tiny))
    macs_per_s = max(product_rate, channels**2 * 9 * side**2 / convolving)
    return Measured(macs_per_s, 2 * elements * dtype.itemsize / copying, launching / _TINY_CALLS)


def _convolution_operands(channels: int, side: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    image, weight = (
        torch.rand(shape).to(device, dtype).contiguous(memory_format=torch.channels_last)
        for shape in ((1, channels, side, side), (channels, channels, 3, 3))
    )
    return image, weight


def _many_tiny(tiny: Tensor) -> Tensor:
    for _ in range(_TINY_CALLS):
        tiny.add_(1)
    return tiny


def _fastest_s(clock: Clock, call: Callable[[], Tensor], seconds: float) -> float:
    clock.time(call)
    end = time.monotonic() + seconds
    times: list[float] = []
    while len(times) < _LEAST_CALLS or time.monotonic() < end:
        times.append(clock.time(call).ms)
    return min(times) / 1e3
