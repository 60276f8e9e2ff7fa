"""What a backend declares: how it is built in a worker, and what it needs of the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.plugins import Registry, instance_of

Problem = Callable[[str], tuple[str, str] | None]
"""Returns, for a kind of device such as ``cpu`` or ``cuda``, what is missing and how to get it; None if nothing is."""


def no_problem(kind: str) -> tuple[str, str] | None:  # noqa: ARG001
    """Return None: nothing is needed besides torch."""
    return None


@dataclass(frozen=True, slots=True)
class Backend:
    """A way in which networks are executed.

    The controller reads this declaration; only workers import the implementation.

    Attributes
    ----------
    implementation
        ``module:callable``, called as ``f(network, settings)`` with a torch module and a
        `harness.backends.runner.RunnerSettings`; returns a `harness.backends.runner.Runner`. It raises WorkerError
        or UnsupportedError where the network cannot be executed in this way.
    problem
        What the machine lacks, found out without importing the implementation.
    packages
        Distributions whose versions a measurement depends on, besides torch.
    builds
        Whether it compiles, exports or records a network before it can be called. That is done before any time is
        taken.
    """

    implementation: str
    problem: Problem = no_problem
    packages: tuple[str, ...] = ()
    builds: bool = True


BACKENDS: Registry[Backend] = Registry("harness.backends", "backend", instance_of(Backend))


def backend_problem(name: str, device: str) -> tuple[str, str] | None:
    """Return what is missing for the backend `name` on `device` and how to get it; None where nothing is.

    Parameters
    ----------
    name
        How networks are to be executed.
    device
        ``cpu``, or as torch names it.

    Raises
    ------
    UsageError
        There is no such backend, or it cannot be loaded.
    """
    return BACKENDS.get(name).problem(device.split(":", maxsplit=1)[0])
