"""What an NVIDIA card says of itself, through nvidia-ml-py (the extra ``[nvidia]``)."""

from __future__ import annotations

import contextlib
import importlib
import time
from dataclasses import dataclass
from typing import Any

from harness.machine.diagnostic import Diagnostic
from harness.results.measurement import GpuReading
from harness.results.rounds import POWER_CAP

_BUSY_PERCENT = 5
# Bits of nvmlClocksEventReasons that slow a card down against its will (nvml.h).
_SLOWED = {
    0x4: POWER_CAP,
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


@dataclass(frozen=True, slots=True)
class CardState:
    """One card at one moment.

    Attributes
    ----------
    name
        Model of the card.
    busy_percent
        Share of the last moments in which a kernel ran.
    processes
        Processes that compute on it.
    clock_mhz, most_clock_mhz
        Its multiprocessors' clock now and at the most.
    temperature_c
        Degrees Celsius.
    slowed_by
        Why the clock is held down, where it is.
    """

    name: str
    busy_percent: int
    processes: int
    clock_mhz: int
    most_clock_mhz: int
    temperature_c: int
    slowed_by: tuple[str, ...]


def read_cards(library: Any = None) -> list[CardState]:
    """Return the state of every card; empty without nvidia-ml-py or a driver.

    Parameters
    ----------
    library
        The module ``pynvml``; it is imported by default.
    """
    try:
        nvml = library or importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no package, no driver, no card, no permission: there is nothing to say
        return []
    try:
        return [_read(nvml, nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(nvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - a card may not answer every question
        return []
    finally:
        nvml.nvmlShutdown()


def _read(library: Any, card: Any) -> CardState:
    name = library.nvmlDeviceGetName(card)
    reasons = int(library.nvmlDeviceGetCurrentClocksThrottleReasons(card))
    return CardState(
        name=name.decode() if isinstance(name, bytes) else str(name),
        busy_percent=int(library.nvmlDeviceGetUtilizationRates(card).gpu),
        processes=len(library.nvmlDeviceGetComputeRunningProcesses(card)),
        clock_mhz=int(library.nvmlDeviceGetClockInfo(card, library.NVML_CLOCK_SM)),
        most_clock_mhz=int(library.nvmlDeviceGetMaxClockInfo(card, library.NVML_CLOCK_SM)),
        temperature_c=int(library.nvmlDeviceGetTemperature(card, library.NVML_TEMPERATURE_GPU)),
        slowed_by=tuple(why for bit, why in _SLOWED.items() if reasons & bit),
    )


class GpuMonitor:
    """Reads one card between timed turns; on a CPU, and where the card does not tell, it reads nothing.

    Parameters
    ----------
    device
        As torch names it; only CUDA's are asked. The card is found by its UUID, else by its number.
    library
        The module ``pynvml``; it is imported by default.
    begin
        From when its seconds count, by the monotonic clock; from now by default.
    """

    def __init__(self, device: str, library: Any = None, begin: float | None = None) -> None:
        self._begin = time.monotonic() if begin is None else begin
        self._library: Any = None
        if not device.startswith("cuda"):
            return
        with contextlib.suppress(Exception):  # no package, no driver, no card, no permission: there is nothing to read
            nvml = library or importlib.import_module("pynvml")
            nvml.nvmlInit()
            self._card = _handle(nvml, device)
            self._library = nvml

    def read(self) -> GpuReading | None:
        """Return the card's state now; None where it does not tell."""
        if self._library is None:
            return None
        try:
            state = _read(self._library, self._card)
        except Exception:  # noqa: BLE001 - a card may not answer every question
            return None
        return GpuReading(
            at_s=time.monotonic() - self._begin,
            clock_mhz=state.clock_mhz,
            temperature_c=state.temperature_c,
            slowed_by=list(state.slowed_by),
        )


def _handle(library: Any, name: str) -> Any:
    import torch  # a controller of CPU runs does without

    device = torch.device(name)
    uuid = getattr(torch.get_device_module(device).get_device_properties(device), "uuid", None)
    if uuid is None:
        return library.nvmlDeviceGetHandleByIndex(device.index or 0)
    full = str(uuid)
    return library.nvmlDeviceGetHandleByUUID(full if full.startswith("GPU-") else f"GPU-{full}")


def card_facts(library: Any = None) -> list[Diagnostic]:
    """Return what of the cards makes their times unreliable."""
    return [fact for number, card in enumerate(read_cards(library)) for fact in _facts(number, card)]


def _facts(number: int, card: CardState) -> list[Diagnostic]:
    where = f"card {number}"
    state = f"{card.clock_mhz} of {card.most_clock_mhz} MHz, {card.temperature_c} °C"
    facts = [Diagnostic(where, f"{card.name}, {state}")]
    if card.busy_percent > _BUSY_PERCENT or card.processes:
        found = f"{card.busy_percent} % busy, {card.processes} process(es) on it"
        facts.append(Diagnostic(f"{where} idle", found, "warn", "end what computes on it"))
    if card.slowed_by:
        found = f"clock held down by {', '.join(card.slowed_by)}"
        facts.append(
            Diagnostic(f"{where} clock", found, "warn", "let it cool, raise its power limit, or lock its clocks")
        )
    return facts
