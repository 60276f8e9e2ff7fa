"""Starts a worker process and ends it, with everything that it started."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.isolation.cgroup import Group, make_group
from harness.isolation.channel import Channel
from harness.isolation.environment import PACKAGE, worker_command, worker_environment
from harness.isolation.limits import Excess, Limits, Watcher, limits_to_json
from harness.isolation.log import LogCapture
from harness.isolation.messages import SECRET_BYTES
from harness.isolation.processes import kill_tree
from harness.isolation.sandbox import LIBRARY, PRIVATE, Confinement, bwrap_command
from harness.isolation.segment import Segment
from harness.machine.cores import bound_cores


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker, seen from the controller."""

    process: subprocess.Popen[bytes]
    channel: Channel
    log: LogCapture
    watcher: Watcher
    private: Path
    """Its temporary folder, removed at the end."""
    group: Group | None = None
    """Its control group, where it has one."""

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self.process.poll() is None

    def excess(self) -> tuple[Excess, str] | None:
        """Return what was over the limit, and that as a sentence, where the worker was ended for it."""
        if self.watcher.excess is not None:
            return self.watcher.excess, self.watcher.detail
        if self.group is not None and self.group.ran_out_of_memory():
            return "MemoryLimit", "the kernel ended it, because its control group was out of memory"
        return None

    def kill(self) -> None:
        """End the worker and all that it started, at once, and release what it held."""
        self.watcher.stop()
        kill_tree(self.process.pid)
        self.process.wait()
        if self.group is not None:
            self.group.remove()
        self.channel.close()
        self.log.finish()
        shutil.rmtree(self.private, ignore_errors=True)

    def wait(self, timeout_s: float) -> None:
        """Wait until the process ends by itself, at most `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)


@dataclass(frozen=True, slots=True)
class Launch:
    """What a worker is started with.

    Attributes
    ----------
    root
        The submission's folder.
    inside
        Where the worker finds it.
    python
        The interpreter that runs the worker.
    threads
        How many threads a network may use on the CPU.
    device
        Where the network runs.
    limits
        What the worker may use.
    confinement
        What is around it.
    """

    root: Path
    inside: Path
    python: Path
    threads: int
    device: str
    limits: Limits
    confinement: Confinement


def launch(plan: Launch) -> Worker:
    """Start a worker.

    The calling thread must live as long as the worker: the kernel kills the worker when it ends.
    """
    sandboxed = plan.confinement == "bwrap"
    private = Path(tempfile.mkdtemp(prefix="sr-harness-"))
    ours, theirs = socket.socketpair()
    segment = Segment.create()
    environment = worker_environment(
        threads=plan.threads,
        private=PRIVATE if sandboxed else private,
        library=LIBRARY if sandboxed else PACKAGE.parent,
        device=plan.device,
    )
    parent = None if sandboxed else os.getpid()
    command = worker_command(
        plan.python,
        theirs.fileno(),
        limits_to_json(plan.limits),
        parent=parent,
        segment=None if segment is None else segment.fd,
        cores=bound_cores(plan.threads) if plan.device == "cpu" else [],
    )
    if sandboxed:
        command = bwrap_command(
            command,
            environment=environment,
            root=plan.root,
            inside=plan.inside,
            python=plan.python,
            tmp_bytes=plan.limits.tmp_bytes,
            accelerator=plan.device != "cpu",
        )
        environment = {"PATH": os.environ.get("PATH", os.defpath)}  # bubblewrap's own; the worker's is in its options
    return start(command, environment, ours, theirs, segment, private, plan.limits)


def start(
    command: Sequence[str],
    environment: dict[str, str],
    ours: socket.socket,
    theirs: socket.socket,
    segment: Segment | None,
    private: Path,
    limits: Limits,
) -> Worker:
    """Start `command` with one end of the channel, its output captured and its use of the machine watched."""
    log = LogCapture()
    group = make_group(limits)
    with theirs:
        process = subprocess.Popen(
            command if group is None else group.joining(command),
            stdin=subprocess.DEVNULL,
            stdout=log.writer,
            stderr=log.writer,
            env=environment,
            cwd=private,
            pass_fds=[theirs.fileno(), *([] if segment is None else [segment.fd])],
            start_new_session=True,
        )
    log.start()
    secret = secrets.token_bytes(SECRET_BYTES)
    with contextlib.suppress(OSError):  # a worker that is already dead is noticed at the first request
        ours.sendall(secret)
    watcher = Watcher(process.pid, limits)
    watcher.start()
    channel = Channel(ours, secret, lambda: process.poll() is None, segment)
    return Worker(process, channel, log, watcher, private, group)


def describe_end(returncode: int | None) -> str:
    """Say in words how a process ended."""
    if returncode is None:
        return "closed the channel to the harness"
    number = -returncode if returncode < 0 else returncode - 128
    if returncode < 0 or returncode > 128:  # a sandbox passes a signal on as 128 + its number
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(number).name}"
    return f"ended itself with exit status {returncode}"
