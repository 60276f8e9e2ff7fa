"""Read the state of NVIDIA GPUs through NVML (package nvidia-ml-py, extra ``[nvidia]``)."""

from __future__ import annotations

import contextlib
import importlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.machine.diagnostic import Diagnostic
from harness.results.measurement import GpuReading
from harness.results.rounds import POWER_CAP

_LOADED_DRIVER = Path("/proc/driver/nvidia/version")
# Utilization from which a GPU is reported as busy.
_BUSY_PERCENT = 5
# Bits of nvmlClocksEventReasons (nvml.h) that reduce the clock although there is work. Other bits, such as 0x1 (idle),
# say nothing about the reliability of times.
_THROTTLE_REASONS = {
    0x4: POWER_CAP,
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


@dataclass(frozen=True, slots=True)
class GpuState:
    """State of one GPU at one moment.

    Attributes
    ----------
    name
        Model name.
    busy_percent
        Utilization: percentage of the last sampling period of NVML during which a kernel ran.
    processes
        Number of processes with a compute context on the GPU.
    clock_mhz, max_clock_mhz
        Current and maximum SM clock, MHz.
    temperature_c
        Temperature, degrees Celsius.
    slowed_by
        Reasons for which the clock is throttled; empty if it is not.
    """

    name: str
    busy_percent: int
    processes: int
    clock_mhz: int
    max_clock_mhz: int
    temperature_c: int
    slowed_by: tuple[str, ...]


def read_gpus(library: Any = None) -> list[GpuState]:
    """Return the state of every NVIDIA GPU; an empty list without nvidia-ml-py or a driver.

    Parameters
    ----------
    library
        Replaces the module ``pynvml``, which is imported by default.
    """
    try:
        with _initialized(library) as nvml:
            return [_read(nvml, nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(nvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - no package, driver, GPU or permission, or a GPU that does not support every query
        return []


def driver_version(library: Any = None, loaded: Path = _LOADED_DRIVER) -> str | None:
    """Return the version of the installed NVIDIA driver, such as ``580.65.06``; None if unknown.

    Parameters
    ----------
    library
        Replaces the module ``pynvml``, which is imported by default.
    loaded
        File in which the kernel module states its version, for machines without NVML.
    """
    try:
        with _initialized(library) as nvml:
            version = nvml.nvmlSystemGetDriverVersion()  # bytes in old versions of the binding
        return version.decode() if isinstance(version, bytes) else str(version)
    except Exception:  # noqa: BLE001 - no package, no driver, no GPU or no permission
        with contextlib.suppress(OSError):
            found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", loaded.read_text())
            return found[1] if found else None
    return None


@contextlib.contextmanager
def _initialized(library: Any) -> Iterator[Any]:
    """Return the module ``pynvml``, or what replaces it, initialized within the block."""
    nvml = library or importlib.import_module("pynvml")
    nvml.nvmlInit()
    try:
        yield nvml
    finally:
        # NVML counts initializations; those of a GpuMonitor stay in effect.
        nvml.nvmlShutdown()


def _read(library: Any, handle: Any) -> GpuState:
    name = library.nvmlDeviceGetName(handle)  # bytes in old versions of the binding
    reasons = int(library.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    return GpuState(
        name=name.decode() if isinstance(name, bytes) else str(name),
        busy_percent=int(library.nvmlDeviceGetUtilizationRates(handle).gpu),
        processes=len(library.nvmlDeviceGetComputeRunningProcesses(handle)),
        clock_mhz=int(library.nvmlDeviceGetClockInfo(handle, library.NVML_CLOCK_SM)),
        max_clock_mhz=int(library.nvmlDeviceGetMaxClockInfo(handle, library.NVML_CLOCK_SM)),
        temperature_c=int(library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU)),
        slowed_by=tuple(reason for bit, reason in _THROTTLE_REASONS.items() if reasons & bit),
    )


class Card(Protocol):
    """Reads the state of one accelerator."""

    def read(self) -> GpuReading | None:
        """Return the current state, or None if it is unknown."""
        ...


class GpuMonitor:
    """Reads the state of one GPU between timed turns. On the CPU, or without NVML, it reads nothing.

    Parameters
    ----------
    device
        Torch device; only CUDA devices are monitored. The GPU is identified by its UUID, else by its index.
    library
        Replaces the module ``pynvml``, which is imported by default.
    begin
        Origin of the readings' time stamps on the monotonic clock, seconds; now by default.
    """

    def __init__(self, device: str, library: Any = None, begin: float | None = None) -> None:
        self._begin = time.monotonic() if begin is None else begin
        self._library: Any = None
        if not device.startswith("cuda"):
            return
        with contextlib.suppress(Exception):  # no package, no driver, no GPU or no permission
            nvml = library or importlib.import_module("pynvml")
            nvml.nvmlInit()
            self._gpu = handle_of(nvml, device)
            self._library = nvml

    def read(self) -> GpuReading | None:
        """Return the current state of the GPU, or None if it is unknown."""
        if self._library is None:
            return None
        try:
            state = _read(self._library, self._gpu)
        except Exception:  # noqa: BLE001 - consumer GPUs and vGPUs do not support every query
            return None
        return GpuReading(
            at_s=time.monotonic() - self._begin,
            clock_mhz=state.clock_mhz,
            temperature_c=state.temperature_c,
            slowed_by=list(state.slowed_by),
        )


def handle_of(library: Any, name: str) -> Any:
    """Return NVML's handle of a torch device such as ``cuda:0``."""
    import torch  # deferred: a controller of a CPU run does not import torch

    device = torch.device(name)
    # torch's index follows CUDA_VISIBLE_DEVICES and NVML's does not, so that only the UUID is reliable.
    uuid = getattr(torch.get_device_module(device).get_device_properties(device), "uuid", None)
    if uuid is None:
        return library.nvmlDeviceGetHandleByIndex(device.index or 0)
    full = str(uuid)
    return library.nvmlDeviceGetHandleByUUID(full if full.startswith("GPU-") else f"GPU-{full}")


def gpu_diagnostics(library: Any = None) -> list[Diagnostic]:
    """Return the model and clock of each GPU, with warnings about what makes its times unreliable."""
    return [diagnostic for index, gpu in enumerate(read_gpus(library)) for diagnostic in _diagnostics(index, gpu)]


def _diagnostics(index: int, gpu: GpuState) -> list[Diagnostic]:
    name = f"GPU {index}"
    diagnostics = [Diagnostic(name, f"{gpu.name}, {gpu.clock_mhz} of {gpu.max_clock_mhz} MHz, {gpu.temperature_c} °C")]
    if gpu.busy_percent > _BUSY_PERCENT or gpu.processes:
        value = f"{gpu.busy_percent} % busy, {gpu.processes} process(es) on it"
        diagnostics.append(Diagnostic(f"{name} idle", value, "warn", "end the processes that use it"))
    if gpu.slowed_by:
        value = f"clock reduced by {', '.join(gpu.slowed_by)}"
        hint = "let it cool, raise its power limit, or lock its clocks"
        diagnostics.append(Diagnostic(f"{name} clock", value, "warn", hint))
    return diagnostics
