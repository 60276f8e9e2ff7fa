"""Calls of functions in an actor of a Ray cluster, and values in its object store."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from harness.errors import HarnessError, MachineLostError, UsageError, WorkerError
from harness.text import first_line

ValueT = TypeVar("ValueT")


def ray_package() -> Any:
    """Return the package.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UsageError("--engine ray needs the package ray", hint="python -m pip install ray") from error


class Runner:
    """Calls functions in a process of one node: the actor."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
        """Return true and what the function returns, or false and the error of the harness that it raises.

        Other exceptions pass, and Ray raises them where the result is asked for.
        """
        try:
            # A pair, because Ray would wrap an exception that is raised here in one of its own.
            return True, function(*arguments)
        except HarnessError as error:
            return False, _described(error)


@dataclass(frozen=True, slots=True)
class RayShared(Generic[ValueT]):
    """A value in the object store of the cluster. Every node fetches it once, as long as its store has room."""

    reference: Any

    def get(self) -> ValueT:
        """Return the value; arrays are views of the store."""
        value: ValueT = ray_package().get(self.reference)
        return value


class RayExecutor(Executor):
    """Calls functions in the actor of one node.

    Parameters
    ----------
    actor
        Handle of the actor.
    machine
        Name of the node, for messages.
    """

    def __init__(self, actor: Any, machine: str) -> None:
        self.actor = actor
        self._machine = machine

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function there."""
        assert not kwargs, "a call in an actor has no keyword arguments"
        result: Future[Any] = Future()
        # A future of the standard library, so that callers need not know Ray.
        self.actor.call.remote(fn, *args).future().add_done_callback(lambda done: self._pass_on(done, result))
        return result

    def _pass_on(self, done: Future[Any], result: Future[Any]) -> None:
        error = done.exception()
        if error is not None:
            result.set_exception(self._lost(error) if _is_loss(error) else error)
            return
        succeeded, value = done.result()
        if succeeded:
            result.set_result(value)
        else:
            result.set_exception(_restored(value))

    def _lost(self, error: BaseException) -> MachineLostError:
        return MachineLostError(f"{self._machine} is lost ({first_line(str(error))[:200]})")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: the actor serves until the engine disconnects."""


def _is_loss(error: BaseException) -> bool:
    """Return whether an exception of Ray means that a process or a node has ended."""
    # Looked up by name, because not every version of Ray has all of them.
    exceptions = importlib.import_module("ray.exceptions")
    kinds = ("RayActorError", "WorkerCrashedError", "NodeDiedError", "ObjectLostError", "OwnerDiedError")
    return isinstance(error, tuple(getattr(exceptions, kind) for kind in kinds if hasattr(exceptions, kind)))


def _described(error: HarnessError) -> dict[str, Any]:
    """Return an error as plain data, because exceptions with keyword arguments cannot be pickled."""
    # Subclasses of WorkerError may have other parameters, so they travel as WorkerError with the same kind.
    parts = {name: getattr(error, name) for name in ("stage", "kind", "log") if isinstance(error, WorkerError)}
    name = "WorkerError" if isinstance(error, WorkerError) else type(error).__name__
    return {"type": name, "what": error.what, "where": error.where, "hint": error.hint, **parts}


def _restored(described: dict[str, Any]) -> HarnessError:
    """Return the error that :func:`_described` was given."""
    kind = getattr(sys.modules["harness.errors"], described.pop("type"), HarnessError)
    error: HarnessError = kind(described.pop("what"), **described)
    return error
