"""Start a worker process and end it together with all its descendants."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.isolation.cgroup import Group, make_group
from harness.isolation.channel import Channel
from harness.isolation.environment import PACKAGE, worker_command, worker_environment
from harness.isolation.limits import Excess, Limits, Watcher, limits_to_json
from harness.isolation.log import LogCapture
from harness.isolation.marks import MarkReader, make_marks
from harness.isolation.messages import SECRET_BYTES
from harness.isolation.private_folders import make_private_folder, remove_private_folder
from harness.isolation.processes import kill_tree
from harness.isolation.sandbox import LIBRARY, PRIVATE, Confinement, bwrap_command
from harness.isolation.segment import Segment
from harness.isolation.unprivileged import descent, hardened, remove_user
from harness.machine.cores import bound_cores


@dataclass(frozen=True, slots=True)
class Worker:
    """Handle of a running worker in the controller."""

    process: subprocess.Popen[bytes]
    channel: Channel
    log: LogCapture
    watcher: Watcher
    private: Path
    """Temporary folder, deleted when the worker is killed."""
    group: Group | None = None
    """Control group; None if control groups are unavailable."""
    user: int | None = None
    """User id of this worker only; None if it has that of other processes, or cannot leave processes behind."""

    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self.process.poll() is None

    def excess(self) -> tuple[Excess, str] | None:
        """Return the limit that the worker exceeded and a description, or None if it was not killed for a limit."""
        if self.watcher.excess is not None:
            return self.watcher.excess, self.watcher.detail
        if self.group is not None and self.group.ran_out_of_memory():
            return "MemoryLimit", "the kernel killed it, because its control group was out of memory"
        return None

    def kill(self) -> None:
        """Kill the worker with all its descendants and release its resources."""
        # The watcher is stopped first: process ids could be reused as soon as the tree is dead, and the watcher would
        # look at, or kill, an unrelated process.
        self.watcher.stop()
        kill_tree(self.process.pid)
        if self.user is not None:
            remove_user(self.user)
        self.process.wait()
        if self.group is not None:
            self.group.remove()
        self.channel.close()
        self.log.finish()
        remove_private_folder(self.private)

    def wait(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` seconds for the process to end on its own."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)


@dataclass(frozen=True, slots=True)
class Launch:
    """Parameters of a worker process.

    Attributes
    ----------
    root
        Folder of the submission.
    inside
        Path of that folder as the worker sees it.
    python
        Interpreter that runs the worker.
    threads
        Number of CPU threads that a network may use.
    device
        Torch device that the network runs on.
    limits
        Resource limits.
    confinement
        Kind of isolation.
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

    The calling thread must outlive the worker. The worker asks for a signal on the death of its parent
    (``PR_SET_PDEATHSIG``, bubblewrap's ``--die-with-parent``), and Linux sends it when the parent *thread* ends.
    """
    private = make_private_folder()
    # A socket pair has no address: only a process that inherits the descriptor can connect to the controller.
    ours, theirs = socket.socketpair()
    segment = Segment.create()
    way = None if plan.confinement == "none" else descent(plan.root, plan.python, accelerator=plan.device != "cpu")
    if plan.confinement == "bwrap":
        command, environment = _in_sandbox(plan, theirs.fileno(), segment)
    else:
        command, environment = _in_process(plan, theirs.fileno(), segment, private, own_user=way is not None)
        if way is not None:
            os.chown(private, way.user, way.user)
            way = way.with_folder(private, plan.limits)
    if way is not None:
        command = way.command(command)
    worker = start(command, environment, ours, theirs, segment, private, plan.limits)
    # bubblewrap's PID namespace ends with its first process; only other workers can leave processes behind.
    return worker if way is None or plan.confinement == "bwrap" else replace(worker, user=way.user)


def _in_sandbox(plan: Launch, fd: int, segment: Segment | None) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of bubblewrap with the worker inside."""
    environment = worker_environment(threads=plan.threads, private=PRIVATE, library=LIBRARY, device=plan.device)
    command = bwrap_command(
        _worker(plan, fd, segment, own_user=True),
        environment=environment,
        root=plan.root,
        inside=plan.inside,
        python=plan.python,
        tmp_bytes=plan.limits.tmp_bytes,
        accelerator=plan.device != "cpu",
    )
    # The environment of bubblewrap itself. It clears it for the worker and sets the worker's from its options.
    return command, {"PATH": os.environ.get("PATH", os.defpath)}


def _in_process(
    plan: Launch, fd: int, segment: Segment | None, private: Path, *, own_user: bool
) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of a worker without a sandbox."""
    environment = worker_environment(threads=plan.threads, private=private, library=PACKAGE.parent, device=plan.device)
    if plan.confinement == "none" or not sys.platform.startswith("linux"):
        return _worker(plan, fd, segment, own_user=False, parent=os.getpid()), environment
    worker = _worker(plan, fd, segment, own_user=own_user)
    return hardened(worker, python=Path(sys.executable), parent=os.getpid()), environment


def _worker(plan: Launch, fd: int, segment: Segment | None, *, own_user: bool, parent: int | None = None) -> list[str]:
    return worker_command(
        plan.python,
        fd,
        limits_to_json(plan.limits),
        parent=parent,
        own_user=own_user,
        segment=None if segment is None else segment.fd,
        cores=bound_cores(plan.threads) if plan.device == "cpu" else [],  # pinning serves CPU timing only
    )


def start(
    command: Sequence[str],
    environment: dict[str, str],
    ours: socket.socket,
    theirs: socket.socket,
    segment: Segment | None,
    private: Path,
    limits: Limits,
) -> Worker:
    """Start `command` with its end of the channel, capture its output and watch its resource usage.

    Parameters
    ----------
    command
        Command line of the worker, or of the sandbox around it.
    environment
        Environment variables of `command`.
    ours, theirs
        Connected sockets. `theirs` is inherited by the worker and closed here.
    segment
        Shared memory, inherited by the worker; None if there is none.
    private
        Temporary folder, used as working directory.
    limits
        Resource limits that the control group and the watcher enforce.
    """
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
            start_new_session=True,  # a process group of its own, so that killpg reaches it and Ctrl-C does not
        )
    log.start()
    # The secret goes through the socket, not the command line or the environment, which submitted code could read.
    secret = secrets.token_bytes(SECRET_BYTES)
    marks = _send_secret(ours, secret)
    watcher = Watcher(process.pid, limits)
    watcher.start()
    channel = Channel(ours, secret, lambda: process.poll() is None, segment, marks)
    return Worker(process, channel, log, watcher, private, group)


def _send_secret(ours: socket.socket, secret: bytes) -> MarkReader | None:
    """Send the secret, and with it the worker's end of the marks of timed calls; return the controller's end."""
    made = make_marks()
    with contextlib.suppress(OSError):  # the first request reports a worker that is already dead
        if made is None:
            ours.sendall(secret)
            return None
        _, theirs = made
        with theirs:
            socket.send_fds(ours, [secret], [theirs.fileno()])
    return None if made is None else made[0]


def describe_end(returncode: int | None) -> str:
    """Describe how a process ended.

    Parameters
    ----------
    returncode
        As of ``Popen.returncode``: negative for a signal; None if the process still runs.
    """
    if returncode is None:
        return "closed the channel to the harness"
    number = -returncode if returncode < 0 else returncode - 128
    if returncode < 0 or returncode > 128:  # bubblewrap exits with 128 + n if its child died from signal n
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(number).name}"
    return f"exited with status {returncode}"
