"""What an engine says of one device of one machine, and what can be read there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from harness.machine.gpu_state import Card
from harness.results.run_info import DeviceInfo


class Place(Protocol):
    """One device of one machine, on which an engine starts workers.

    A run reads the state of a machine through its place only, because the machine may not be the controller's.
    """

    @property
    def machine(self) -> str:
        """Name of the machine; places with the same name share its processors and its main memory."""
        ...

    @property
    def device(self) -> DeviceInfo:
        """The device, with the versions of what runs there."""
        ...

    def free_bytes(self) -> float:
        """Return the memory that networks may use: what is free on the host, or all of an accelerator's, bytes."""
        ...

    def busy(self) -> float:
        """Measure the fraction of all cores of the machine that other programs use, in [0, 1]."""
        ...

    def card(self, begin_s: float | None = None) -> Card:
        """Return what reads the state of the accelerator; on a CPU it reads nothing.

        Parameters
        ----------
        begin_s
            Origin of the readings' time stamps on the monotonic clock, seconds; now by default.
        """
        ...

    def on_site(self) -> Place:
        """Return the same place as a process on that machine sees it."""
        ...

    def lock(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Return a context manager that keeps other runs off the device.

        Parameters
        ----------
        waiting
            Called once if another run holds the lock, before waiting for it.
        """
        ...


def title(place: Place) -> str:
    """Return the name of a place for messages, such as ``node-3 cuda:1``."""
    return " ".join(part for part in (place.machine, place.device.kind) if part)
