"""Check the machine for conditions that make times unreliable: load, frequency scaling, threads, temperature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness.machine.accelerator import accelerator_type
from harness.machine.available_cores import available_cores
from harness.machine.cores import CPU_FOLDER, bound_cores, kernel_text, multithreading, physical_cores
from harness.machine.diagnostic import Diagnostic
from harness.machine.gpu_state import gpu_diagnostics
from harness.machine.load import BUSY_THRESHOLD, busy_share

_STOLEN_SHARE = 0.01  # fraction of all cores; the clock's resolution alone can show less


@dataclass(frozen=True, slots=True)
class MachineFiles:
    """Where Linux describes the machine.

    Attributes
    ----------
    cpu
        The folder of the processors.
    quota
        Processor time that the control group may use.
    throttled
        How often the control group had to wait for more.
    """

    cpu: Path = CPU_FOLDER
    quota: Path = Path("/sys/fs/cgroup/cpu.max")
    throttled: Path = Path("/sys/fs/cgroup/cpu.stat")


def timing_diagnostics(files: MachineFiles = MachineFiles(), load_s: float = 0.3) -> list[Diagnostic]:
    """Return the properties of the machine that affect times.

    Parameters
    ----------
    files
        Describe the machine.
    load_s
        For how long the load is measured, seconds.
    """
    return [
        load_diagnostic(*busy_share(load_s)),
        _threads(files),
        *_governor(files),
        *_quota(files),
        *_throttling(files),
        *_temperature(),
        *_accelerator(),
    ]


def load_diagnostic(busy: float, stolen: float) -> Diagnostic:
    """Return what the load says; for the arguments see :func:`harness.machine.load.busy_share`."""
    if stolen > _STOLEN_SHARE:
        hint = "other virtual machines share these cores: measure at another time, or on a dedicated machine"
        return Diagnostic("load", f"{busy:.0%} busy, {stolen:.0%} taken by the host", "warn", hint)
    value = f"{busy:.0%} of the CPU is used by other programs"
    if busy > BUSY_THRESHOLD:
        hint = "end other programs; the robust protocol corrects for load that affects all networks alike"
        return Diagnostic("load", value, "warn", hint)
    return Diagnostic("load", value)


def _threads(files: MachineFiles) -> Diagnostic:
    usable = available_cores()
    cores = physical_cores(files.cpu)
    bound = ", ".join(map(str, bound_cores(cores, files.cpu)))
    value = f"{usable} usable on {cores} cores; networks use one thread per core" + f", pinned to {bound}" * bool(bound)
    if multithreading(files.cpu):
        hint = "none needed: the second thread of each core stays idle; disable SMT if other programs may use it"
        return Diagnostic("threads", f"{value}; simultaneous multithreading", "warn", hint)
    return Diagnostic("threads", value)


def _governor(files: MachineFiles) -> list[Diagnostic]:
    # Without those of files that cannot be read.
    found = {kernel_text(file) for file in files.cpu.glob("cpu*/cpufreq/scaling_governor")} - {""}
    if not found:
        return [Diagnostic("frequency", "the governor is unknown (a virtual machine, or no frequency scaling)")]
    value = f"governor {', '.join(sorted(found))}"
    if found == {"performance"}:
        return [Diagnostic("frequency", value)]
    return [Diagnostic("frequency", value, "warn", "cpupower frequency-set -g performance")]


def _quota(files: MachineFiles) -> list[Diagnostic]:
    # A quota below the thread count makes the kernel suspend all threads in the middle of calls.
    quota, _, period = kernel_text(files.quota).partition(" ")
    if not quota.isdigit() or not period.isdigit():
        return []
    cores = int(quota) / int(period)
    return [
        Diagnostic(
            "quota", f"the container is limited to {cores:g} cores", "warn", f"run with --threads {max(1, int(cores))}"
        )
    ]


def _throttling(files: MachineFiles) -> list[Diagnostic]:
    counts = dict(line.split() for line in kernel_text(files.throttled).splitlines() if len(line.split()) == 2)
    times = int(counts.get("nr_throttled", 0))
    hot = sum(int(kernel_text(f) or 0) for f in files.cpu.glob("cpu*/thermal_throttle/core_throttle_count"))
    if not times and not hot:
        return []
    causes = [f"{times} times by the container's quota"] if times else []
    causes += [f"{hot} times by heat"] if hot else []
    value = f"{' and '.join(causes)} since boot"  # the kernel's counters are never reset
    return [Diagnostic("throttling", value, "warn", "let the machine cool, or raise the quota")]


def _temperature() -> list[Diagnostic]:
    sensors: dict[str, Any] = getattr(psutil, "sensors_temperatures", dict)()
    readings = [one for group in sensors.values() for one in group if one.current]
    if not readings:
        return []
    hottest = max(readings, key=lambda one: one.current)
    # Processors lower the clock near the limit of the sensor, in degrees Celsius.
    near = hottest.high is not None and hottest.current > hottest.high - 5
    return [
        Diagnostic(
            "temperature",
            f"{hottest.current:.0f} °C",
            "warn" if near else "ok",
            "let the machine cool" if near else "",
        )
    ]


def _accelerator() -> list[Diagnostic]:
    kind = accelerator_type()
    if kind is None:
        return []
    import torch

    count = torch.accelerator.device_count()
    return [Diagnostic("accelerator", f"{count} x {kind}, timed by device events"), *gpu_diagnostics()]
