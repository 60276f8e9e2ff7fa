"""The devices of the machine that this process runs on."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from harness.engines.place import Place
from harness.machine.accelerator import accelerator_count
from harness.machine.device import describe_device
from harness.machine.device_lock import device_lock
from harness.machine.gpu_state import Card, GpuMonitor
from harness.machine.load import busy_share
from harness.machine.main_memory import available_bytes
from harness.results.run_info import DeviceInfo

ValueT = TypeVar("ValueT")

_BESIDE_DEVICES = 2  # threads for questions that are asked while every device is in use


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A device of this machine.

    Attributes
    ----------
    device
        The device.
    machine
        Name of the machine; empty where there is only one.
    """

    device: DeviceInfo
    machine: str = ""

    def free_bytes(self) -> float:
        """Return the memory that networks may use, bytes."""
        if self.device.kind == "cpu":
            return available_bytes()
        # All of the card: a run locks its accelerator, so that no other run uses it.
        return self.device.memory_bytes or math.inf

    def busy(self) -> float:
        """Measure the fraction of all cores that other programs use."""
        return busy_share()[0]

    def card(self, begin_s: float | None = None) -> Card:
        """Return what reads the accelerator through NVML."""
        return GpuMonitor(self.device.kind, begin=begin_s)

    def on_site(self) -> LocalPlace:
        """Return itself: this process is on that machine."""
        return self

    def lock(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Return the lock of the device, which all runs of this machine share."""
        return device_lock(self.device.kind, waiting)


@dataclass(frozen=True, slots=True)
class Kept(Generic[ValueT]):
    """A value of this process."""

    value: ValueT

    def get(self) -> ValueT:
        """Return the value."""
        return self.value


class ThisMachine:
    """The part of an engine that all engines of this machine have in common."""

    shares_files = True
    """Whether workers see the controller's files under the same paths."""

    def devices(self, wanted: str, threads: int | None) -> list[Place]:
        """Return the devices of this machine that a run may use; see :func:`local_places`."""
        return list(local_places(wanted, threads))

    def executor(self, machine: str, places: int) -> Executor:  # noqa: ARG002
        """Return threads of this process, one for each place and a few for questions."""
        return ThreadPoolExecutor(places + _BESIDE_DEVICES, thread_name_prefix="place")

    def share(self, value: ValueT) -> Kept[ValueT]:
        """Return a holder of the value: all workers are started by this process."""
        return Kept(value)

    def on_site(self) -> Self:
        """Return itself: this process is on that machine."""
        return self

    def disconnect(self) -> None:
        """Do nothing: this machine is always connected."""


def local_places(wanted: str, threads: int | None, machine: str = "") -> list[LocalPlace]:
    """Return the devices of this machine that a request names.

    Parameters
    ----------
    wanted
        ``auto`` (all accelerators if there are any, else the CPU), a kind of accelerator such as ``cuda`` for all of
        that kind, or one device such as ``cpu`` or ``cuda:1``.
    threads
        CPU threads that a network may use; None for one per usable physical core.
    machine
        Name of this machine for the places.

    Raises
    ------
    UsageError
        The device does not exist here.
    """
    first = describe_device(wanted, threads)
    # A kind with a number, such as ``cuda:1``, means this device alone.
    count = 1 if first.kind == "cpu" or ":" in first.kind else accelerator_count()
    if count < 2:
        return [LocalPlace(first, machine)]
    return [LocalPlace(describe_device(f"{first.kind}:{index}", threads), machine) for index in range(count)]
