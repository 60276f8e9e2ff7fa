"""Describe the device that networks run on, with the software versions that affect results."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from PIL import features

from harness.errors import UsageError
from harness.machine.accelerator import accelerator_type, torch_build
from harness.machine.cores import bound_cores, multithreading, physical_cores
from harness.machine.gpu_state import driver_version
from harness.results.run_info import DeviceInfo

if TYPE_CHECKING:
    import torch

# Packages other than torch whose releases can change a figure.
_VERSIONS = ("numpy", "numba", "pillow", "fvcore")


def describe_device(wanted: str, threads: int | None) -> DeviceInfo:
    """Resolve and describe the device that networks run on.

    Parameters
    ----------
    wanted
        ``auto`` (the accelerator if there is one, else the CPU) or a torch device such as ``cpu`` or ``cuda:1``.
    threads
        CPU threads that a network may use; None for one per usable physical core.

    Returns
    -------
    DeviceInfo
        Device, driver and versions, as stored in ``results.json``.

    Raises
    ------
    UsageError
        The device does not exist on this machine.
    """
    # With a build for accelerators the answer takes an import of torch, seconds that a run on the CPU does not need.
    accelerator = None if wanted == "cpu" else accelerator_type()
    kind = wanted if wanted != "auto" else accelerator or "cpu"
    if kind != "cpu" and (accelerator is None or accelerator != kind.split(":")[0]):
        available = accelerator or "no accelerator"
        raise UsageError(
            f"device {wanted!r} is not available (torch finds {available})", hint="use --device auto or --device cpu"
        )
    # By default one thread per core: two threads of a core share its arithmetic units.
    threads = threads or physical_cores()
    return DeviceInfo(
        torch=torch_build()["__version__"],
        threads=threads,
        cores=bound_cores(threads) if kind == "cpu" else [],
        multithreading=multithreading(),
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        versions=_versions(),
        **(_accelerator(kind) if kind != "cpu" else _processor()),
    )


def _accelerator(kind: str) -> dict[str, Any]:
    import torch

    device = torch.device(kind)
    # torch reports such an index only when the device is first used.
    if device.index is not None and device.index >= torch.accelerator.device_count():
        count = torch.accelerator.device_count()
        last = f"{device.type}:{count - 1}"
        raise UsageError(f"there is no device {kind}", hint=f"the last of {count} is {last}; see harness doctor")
    return {
        "kind": kind,
        "name": _accelerator_name(device),
        "memory_bytes": _accelerator_memory(device),
        "driver": _driver() if device.type == "cuda" else None,
    }


def _driver() -> str | None:
    """Return the version of the driver, and of the CUDA or ROCm that torch was built for; None if both are unknown."""
    import torch

    toolkits = {"CUDA": torch.version.cuda, "ROCm": getattr(torch.version, "hip", None)}
    built_for = [f"{name} {version}" for name, version in toolkits.items() if version]
    installed = driver_version()
    return ", ".join([*([installed] if installed else []), *built_for]) or None


def _accelerator_name(device: torch.device) -> str:
    import torch

    module = torch.get_device_module(device)
    return str(module.get_device_name(device)) if hasattr(module, "get_device_name") else device.type


def _accelerator_memory(device: torch.device) -> int | None:
    import torch

    module = torch.get_device_module(device)
    properties = getattr(module, "get_device_properties", lambda _: None)(device)
    return getattr(properties, "total_memory", None)


def _processor() -> dict[str, Any]:
    return {
        "kind": "cpu",
        "name": _processor_name(),
        "memory_bytes": psutil.virtual_memory().total,
        "driver": None,
    }


def _processor_name() -> str:
    """Return the model name of the CPU; ``platform.processor()`` is empty on most Linux distributions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {"libjpeg": str(features.version("jpg")), "libjpeg-turbo": str(features.version("libjpeg_turbo"))}
    for package in _VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
