"""What an engine is: machines with devices on which submissions run."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Protocol, TypeVar

from harness.engines.place import Place
from harness.isolation.job import Job
from harness.isolation.session import Session

ValueT = TypeVar("ValueT")
ValueT_co = TypeVar("ValueT_co", covariant=True)


class Shared(Protocol[ValueT_co]):
    """A value that every machine of an engine can have; it travels to each of them once, when it is first asked for."""

    def get(self) -> ValueT_co:
        """Return the value. Callers must not change it."""
        ...


class Opener(Protocol):
    """Opens a session for each submission: an engine, or what stands before one."""

    name: str

    def open(self, job: Job) -> Session:
        """Start what the submission needs to run, on the job's machine and device; the caller closes the session."""
        ...


class Engine(Opener, Protocol):
    """Knows devices of one or several machines, and opens sessions on them."""

    @property
    def shares_files(self) -> bool:
        """Whether workers see the controller's files under the same paths."""
        ...

    def devices(self, wanted: str, threads: int | None) -> Sequence[Place]:
        """Describe the devices that a run may use; at least one.

        Parameters
        ----------
        wanted
            ``auto`` (all accelerators if there are any, else the CPU), a kind such as ``cuda`` for all of that kind, or
            one device of each machine such as ``cpu`` or ``cuda:1``.
        threads
            CPU threads that a network may use; None for one per usable physical core.

        Raises
        ------
        UsageError
            There is no such device.
        """
        ...

    def executor(self, machine: str, places: int) -> Executor:
        """Return what calls functions in a trusted process of a machine, `places` and a few more at the same time.

        A call fails with :class:`harness.errors.MachineLostError` if the machine is lost meanwhile.
        """
        ...

    def share(self, value: ValueT) -> Shared[ValueT]:
        """Make a value available to all machines."""
        ...

    def on_site(self) -> Engine:
        """Return the engine that a trusted process on one of the machines uses for the devices of that machine."""
        ...

    def disconnect(self) -> None:
        """Release all machines, and end what still runs there."""
        ...
