"""Counters of energy: NVML's for NVIDIA cards, RAPL's for processors.

NVML counts the whole card, in steps of 20 to 100 ms. RAPL counts processor packages, without memory and the rest of the
machine, in steps of about 1 ms; on Linux only root may read it unless the administrator permits it to others. Both
include what is used when idle.
"""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path
from typing import Any, Protocol

from harness.machine.gpu_state import handle_of

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter(Protocol):
    """Reads a counter that increases."""

    def read(self) -> float | None:
        """Return the joules since an arbitrary moment; None if they are unknown."""
        ...


class NoMeter:
    """No counter is available."""

    def read(self) -> float | None:
        """Return None."""
        return None


class CardMeter:
    """The counter of an NVIDIA card, since Volta.

    Parameters
    ----------
    library
        The module ``pynvml``, initialized.
    handle
        Its handle of the card.
    """

    def __init__(self, library: Any, handle: Any) -> None:
        self._library = library
        self._handle = handle

    def read(self) -> float | None:
        """Return joules; None if the card does not support it."""
        try:
            return float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3
        except Exception:  # noqa: BLE001 - cards before Volta and virtual cards do not support it
            return None


class ProcessorMeter:
    """The counters of all processor packages.

    Parameters
    ----------
    packages
        Folders of the packages below ``/sys/class/powercap``, each with ``energy_uj`` and ``max_energy_range_uj``.
    """

    def __init__(self, packages: list[Path]) -> None:
        self._packages = packages
        self._last: dict[Path, int] = {}
        self._joules = 0.0

    def read(self) -> float | None:
        """Return joules since the first reading; None if there is no counter, or it cannot be read."""
        if not self._packages:
            return None
        try:
            for package in self._packages:
                self._joules += self._increase(package) / 1e6
        except (OSError, ValueError):
            return None
        return self._joules

    def _increase(self, package: Path) -> int:
        """Return the microjoules of a package since its last reading. Its counter begins again at its range."""
        now = int((package / "energy_uj").read_text())
        # The first reading of a counter is the origin, since it began at an arbitrary moment.
        before = self._last.get(package, now)
        self._last[package] = now
        return now - before if now >= before else now - before + int((package / "max_energy_range_uj").read_text())


def energy_meter(device: str, library: Any = None, powercap: Path = POWERCAP) -> EnergyMeter:
    """Return the counter of a device; one that reads nothing where there is none, or it may not be read.

    Parameters
    ----------
    device
        ``cpu``, or a torch device such as ``cuda:0``.
    library
        Replaces the module ``pynvml``.
    powercap
        Folder of Linux's power capping framework.
    """
    if device.startswith("cuda"):
        with contextlib.suppress(Exception):  # no package, no driver, no card or no permission
            nvml = library or importlib.import_module("pynvml")
            # There is no nvmlShutdown(): the handle serves for the rest of the process.
            nvml.nvmlInit()
            return _usable(CardMeter(nvml, handle_of(nvml, device)))
        return NoMeter()
    return _usable(ProcessorMeter(_packages(powercap))) if device == "cpu" else NoMeter()


def _packages(powercap: Path) -> list[Path]:
    """Return the folders of packages. Their parts, such as cores and memory, have folders of their own."""
    found = []
    for folder in sorted(powercap.glob("intel-rapl:*")):  # also on processors of AMD
        with contextlib.suppress(OSError):
            if (folder / "name").read_text().strip().startswith("package"):
                found.append(folder)
    return found


def _usable(meter: EnergyMeter) -> EnergyMeter:
    return NoMeter() if meter.read() is None else meter
