"""Submissions run on the machines of a Ray cluster (extra ``[ray]``).

On each node, one actor holds the workers, which are sandboxed as on the controller's machine. It reserves all
processors and accelerators of its node, so that no other work of Ray disturbs a timing.
"""

from __future__ import annotations

import importlib
import secrets
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.engines.local import LocalEngine
from harness.engines.place import Place
from harness.engines.ray_actor import RayExecutor, RayShared, Runner, ray_package
from harness.engines.remote import RemoteExchange, open_here
from harness.engines.this_machine import LocalPlace, local_places
from harness.errors import HarnessError, MachineLostError, UsageError
from harness.isolation.job import Job
from harness.isolation.session import Session
from harness.machine.gpu_state import Card
from harness.results.fingerprint import fingerprint_folder
from harness.results.measurement import GpuReading
from harness.results.run_info import DeviceInfo
from harness.submissions.parcel import Parcel, pack
from harness.submissions.submission import Submission
from harness.text import first_line

ValueT = TypeVar("ValueT")

_START_S = 240.0  # for the process on a node, which imports the harness
_THREADS = 16  # calls that an actor answers at the same time: places, requests of sessions, and questions


@dataclass(frozen=True, slots=True)
class RayPlace:
    """A device of a node. Its state is read by the actor of the node.

    Attributes
    ----------
    place
        The device as a process on the node sees it.
    executor
        Calls functions on the node.
    """

    place: LocalPlace
    executor: RayExecutor = field(compare=False)

    @property
    def machine(self) -> str:
        """Name of the node."""
        return self.place.machine

    @property
    def device(self) -> DeviceInfo:
        """The device."""
        return self.place.device

    def free_bytes(self) -> float:
        """Return the memory that networks may use there, bytes."""
        return float(self.executor.submit(LocalPlace.free_bytes, self.place).result())

    def busy(self) -> float:
        """Measure the fraction of all cores of the node that other programs use."""
        return float(self.executor.submit(LocalPlace.busy, self.place).result())

    def card(self, begin_s: float | None = None) -> Card:  # noqa: ARG002  # the node has another clock
        """Return what reads the accelerator of the node."""
        return _RemoteCard(self)

    def on_site(self) -> LocalPlace:
        """Return the place as a process on the node sees it."""
        return self.place

    def lock(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Return the lock of the device on its node, held by the actor."""
        return _RemoteLock(self, waiting)


class _RemoteCard:
    def __init__(self, place: RayPlace) -> None:
        self._place = place

    def read(self) -> GpuReading | None:
        reading: GpuReading | None = self._place.executor.submit(_read_card, self._place.place).result()
        return reading


class _RemoteLock(AbstractContextManager[None]):
    def __init__(self, place: RayPlace, waiting: Callable[[], None]) -> None:
        self._place = place
        self._waiting = waiting
        self._key = ""

    def __enter__(self) -> None:
        # Tried without waiting first, to know whether `waiting` must be called on this machine.
        self._key = self._take(wait=False)
        if not self._key:
            self._waiting()
            self._key = self._take(wait=True)

    def __exit__(self, *_: object) -> None:
        with suppress(HarnessError):  # with its machine, a lock is lost
            self._place.executor.submit(_release_lock, self._key).result()

    def _take(self, *, wait: bool) -> str:
        return str(self._place.executor.submit(_take_lock, self._place.place, wait).result())


class RayEngine:
    """The devices of all nodes of a Ray cluster.

    Parameters
    ----------
    address
        ``auto`` for the cluster that this machine belongs to, or ``ray://HOST:PORT`` or ``HOST:PORT``.
    """

    name = "ray"
    shares_files = False

    def __init__(self, address: str = "auto") -> None:
        self._address = address
        self._executors: dict[str, RayExecutor] = {}
        self._nodes: dict[str, str] = {}
        # By content, so that a submission is sent once for all its processes.
        self._parcels: dict[str, tuple[RayShared[Parcel] | None, str]] = {}
        self._connected = False

    def connect(self, address: str) -> None:
        """Use the cluster at an address."""
        self._address = address

    def node_id(self, machine: str) -> str:
        """Return Ray's identifier of a node."""
        return self._nodes[machine]

    def devices(self, wanted: str, threads: int | None) -> list[Place]:
        """Describe the devices of all nodes that have processors for the harness; see `harness.engines.Engine`.

        Raises
        ------
        UsageError
            There is no cluster, a node cannot run the harness, or no node has such a device.
        """
        self._connect()
        places: list[Place] = []
        refusals: list[UsageError] = []
        for machine in self._nodes:
            executor = self._executor(machine)
            try:
                found = executor.submit(local_places, wanted, threads, machine).result(_START_S)
                places += [RayPlace(place, executor) for place in found]
            except UsageError as error:  # a node without an accelerator takes no part in a run on accelerators
                refusals.append(error)
            except TimeoutError as error:
                hint = "other work may hold its processors (ray status), or its environment lacks sr-harness"
                raise UsageError(f"{machine} did not start within {_START_S:g} s", hint=hint) from error
        if not places:
            # The first reason is enough: all nodes refuse the same request.
            raise refusals[0] if refusals else UsageError("no node of the cluster has processors for the harness")
        return places

    def open(self, job: Job) -> Session:
        """Start a worker on the job's node; its requests pass through the actor of that node."""
        self._connect()
        # A job without a machine runs on any node.
        executor = self._executor(job.machine or next(iter(self._nodes)))
        parcel, content = self._sent(job)
        opened = executor.submit(open_here, LocalEngine(), job, parcel, content).result()
        return Session(RemoteExchange(executor, opened, job), opened.request, job.timeout_s)

    def executor(self, machine: str, places: int) -> Executor:  # noqa: ARG002
        """Return what calls functions in the actor of a node, which is started again if it has ended.

        Raises
        ------
        MachineLostError
            The node is gone, or its actor does not start.
        """
        self._connect()
        executor = self._executor(machine)
        # Asked before use: an actor that has ended is found only by a call.
        if not self._answers(executor):
            self._forget(machine)
            alive = {node["NodeID"] for node in ray_package().nodes() if node["Alive"]}
            if self._nodes[machine] not in alive:
                raise MachineLostError(f"{machine} is lost")
            executor = self._executor(machine)
            if not self._answers(executor):
                raise MachineLostError(f"{machine} does not answer")
        return executor

    def share(self, value: ValueT) -> RayShared[ValueT]:
        """Put a value into the object store of the cluster."""
        self._connect()
        return RayShared(ray_package().put(value))

    def on_site(self) -> LocalEngine:
        """Return the engine that an actor uses on its node."""
        return LocalEngine()

    def disconnect(self) -> None:
        """End the actors with their workers, and leave the cluster."""
        for machine in list(self._executors):
            self._forget(machine)
        if self._connected:
            self._connected = False
            ray_package().shutdown()

    def _connect(self) -> None:
        ray = ray_package()
        if not self._connected:
            if not ray.is_initialized():
                try:
                    ray.init(address=self._address, log_to_driver=False, logging_level="ERROR")
                except (ConnectionError, RuntimeError, ValueError) as error:
                    reason = first_line(str(error))[:300]
                    hint = "start one with `ray start --head`, see docs/cluster.md"
                    raise UsageError(f"no Ray cluster at {self._address!r} ({reason})", hint=hint) from error
            self._connected = True
            self._nodes = _node_names(ray.nodes())

    def _executor(self, machine: str) -> RayExecutor:
        """Return the connection to a node, on which an actor is started if there is none."""
        if machine not in self._nodes:
            raise UsageError(f"the cluster has no node {machine!r}", hint=f"it has {', '.join(self._nodes)}")
        if machine not in self._executors:
            self._executors[machine] = RayExecutor(self._start_actor(self._nodes[machine]), machine)
        return self._executors[machine]

    def _start_actor(self, node: str) -> Any:
        ray = ray_package()
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        # As the node was started with; may be less than the machine has.
        resources = next(one["Resources"] for one in ray.nodes() if one["NodeID"] == node)
        return (
            ray.remote(Runner)
            .options(
                # All of the node, so that Ray starts nothing else during a timing.
                num_cpus=resources.get("CPU", 0),
                num_gpus=resources.get("GPU", 0),
                max_concurrency=_THREADS,
                # soft=False: the actor never runs on another node.
                scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node, soft=False),
            )
            .remote()
        )

    def _answers(self, executor: RayExecutor) -> bool:
        try:
            return bool(executor.submit(_is_here).result(_START_S))
        except (HarnessError, TimeoutError):
            return False

    def _forget(self, machine: str) -> None:
        with suppress(Exception):  # it may have ended
            ray_package().kill(self._executors.pop(machine).actor)

    def _sent(self, job: Job) -> tuple[RayShared[Parcel] | None, str]:
        """Return the files of a job's submission in the object store, with their hash; each is put there once."""
        submission = job.submission
        assert isinstance(submission, Submission)
        content = fingerprint_folder(submission.root)
        if content not in self._parcels:
            parcel = pack(submission)
            self._parcels[content] = (None if parcel is None else self.share(parcel), content)
        return self._parcels[content]


def _node_names(nodes: list[dict[str, Any]]) -> dict[str, str]:
    """Return the identifiers of the nodes that can run the harness, by names of which none occurs twice."""
    usable = sorted(
        (node["NodeManagerHostname"], node["NodeID"])
        for node in nodes
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    )
    count = Counter(host for host, _ in usable)
    # Several nodes of a host occur in tests and in containers.
    return {host if count[host] == 1 else f"{host}-{node[:6]}": node for host, node in usable}


def _is_here() -> bool:
    return True


def _read_card(place: LocalPlace) -> GpuReading | None:
    return place.card().read()


_LOCKS: dict[str, AbstractContextManager[None]] = {}


def _take_lock(place: LocalPlace, wait: bool) -> str:
    """Take the lock of a device and return a key for it; an empty one if another run has it and `wait` is False."""
    # The lock calls its argument before it waits; `_refuse` raises there, which ends the attempt.
    lock = place.lock(lambda: None) if wait else place.lock(_refuse)
    try:
        lock.__enter__()
    except _LockedError:
        return ""
    key = secrets.token_hex(8)
    _LOCKS[key] = lock
    return key


class _LockedError(Exception):
    """Another run holds the lock."""


def _refuse() -> None:
    raise _LockedError


def _release_lock(key: str) -> None:
    _LOCKS.pop(key).__exit__(None, None, None)
