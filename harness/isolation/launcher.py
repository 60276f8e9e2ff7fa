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
from dataclasses import dataclass
from pathlib import Path

from harness.isolation.cgroup import Group
from harness.isolation.channel import Channel
from harness.isolation.environment import worker_command, worker_environment
from harness.isolation.fork_server import ForkError, Process
from harness.isolation.forked_worker import can_fork, fork_worker
from harness.isolation.helper_thread import HelperThread
from harness.isolation.launch_plan import Connection, Launch
from harness.isolation.limits import Excess, Limits, Watcher, limits_to_json
from harness.isolation.log import LogCapture
from harness.isolation.marks import MarkReader, make_marks
from harness.isolation.messages import SECRET_BYTES
from harness.isolation.private_folders import remove_private_folder
from harness.isolation.processes import kill_tree
from harness.isolation.sandbox import PRIVATE, bwrap_command
from harness.isolation.unprivileged import Descent, descent, hardened, remove_user
from harness.machine.cores import bound_cores


@dataclass(frozen=True, slots=True)
class Worker:
    """Handle of a running worker in the controller."""

    process: Process
    channel: Channel
    log: LogCapture
    watcher: Watcher
    private: Path
    """Temporary folder, deleted when the worker is killed."""
    group: Group | None = None
    """Control group; None if control groups are unavailable."""
    user: int | None = None
    """User id of this worker only; None if it has that of other processes, or cannot leave processes behind."""
    sandbox: subprocess.Popen[bytes] | None = None
    """The sandbox that a forked worker joined; None for others, which are processes of their sandbox."""

    @property
    def roots(self) -> tuple[int, ...]:
        """Process ids of the roots of the worker's process tree."""
        return _roots(self.process, self.sandbox)

    @property
    def helpers(self) -> tuple[HelperThread, ...]:
        """Threads of the controller that serve this worker."""
        return self.log.thread, self.watcher.thread

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
        # read, or kill, an unrelated process.
        self.watcher.stop()
        kill_tree(*self.roots)
        if self.user is not None:
            remove_user(self.user)
        self.process.wait()
        if self.sandbox is not None:
            self.sandbox.wait()
        if self.group is not None:
            self.group.remove()
        self.channel.close()
        self.log.finish()
        remove_private_folder(self.private)

    def wait(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` seconds for the process to end on its own."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)


def launch(plan: Launch) -> Worker:
    """Start a worker.

    The calling thread must outlive the worker. The worker asks for a signal on the death of its parent
    (``PR_SET_PDEATHSIG``, bubblewrap's ``--die-with-parent``), and Linux sends it when the parent *thread* ends.
    """
    made = Connection.make(plan.limits)
    way = None if plan.confinement == "none" else descent(plan.root, plan.python, accelerator=plan.device != "cpu")
    if way is not None and plan.confinement != "bwrap":
        # The folder is also the working directory at the start, before the private mounts exist.
        os.chown(made.private, way.user, way.user)
        way = way.with_folder(made.private, plan.limits)
    # Closed here afterwards: the channel ends only when no copy of the worker's end is open.
    with made.theirs:
        process, sandbox = _started(plan, made, way)
    # bubblewrap's PID namespace ends with its first process; only other workers can leave processes behind.
    user = None if way is None or plan.confinement == "bwrap" else way.user
    return _connect(process, sandbox, made, plan.limits, user)


def _started(plan: Launch, made: Connection, way: Descent | None) -> tuple[Process, subprocess.Popen[bytes] | None]:
    """Return the handles of a started worker and of its sandbox, if that is another process."""
    cores = bound_cores(plan.threads) if plan.device == "cpu" else []  # pinning serves CPU timing only
    if can_fork(plan):
        with contextlib.suppress(ForkError):
            return fork_worker(plan, made, way, cores)
    if plan.confinement == "bwrap":
        command, environment = _in_sandbox(plan, made, cores)
    else:
        command, environment = _in_process(plan, made, cores, own_user=way is not None)
    return execute(command if way is None else way.command(command), environment, made), None


def _in_sandbox(plan: Launch, made: Connection, cores: Sequence[int]) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of bubblewrap with the worker inside."""
    environment = worker_environment(threads=plan.threads, private=PRIVATE, device=plan.device)
    command = bwrap_command(
        _worker(plan, made, cores, own_user=True),
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
    plan: Launch, made: Connection, cores: Sequence[int], *, own_user: bool
) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of a worker without a sandbox."""
    environment = worker_environment(threads=plan.threads, private=made.private, device=plan.device)
    if plan.confinement == "none" or not sys.platform.startswith("linux"):
        return _worker(plan, made, cores, own_user=False, parent=os.getpid()), environment
    worker = _worker(plan, made, cores, own_user=own_user)
    return hardened(worker, python=Path(sys.executable), parent=os.getpid()), environment


def _worker(
    plan: Launch, made: Connection, cores: Sequence[int], *, own_user: bool, parent: int | None = None
) -> list[str]:
    return worker_command(
        plan.python,
        made.theirs.fileno(),
        limits_to_json(plan.limits),
        parent=parent,
        own_user=own_user,
        segment=None if made.segment is None else made.segment.fd,
        cores=cores,
    )


def execute(command: Sequence[str], environment: dict[str, str], made: Connection) -> subprocess.Popen[bytes]:
    """Execute the command line of a worker, or of the sandbox around it, with its environment variables."""
    return subprocess.Popen(
        command if made.group is None else made.group.joining(command),
        stdin=subprocess.DEVNULL,
        stdout=made.log.writer,
        stderr=made.log.writer,
        env=environment,
        cwd=made.private,
        pass_fds=made.inherited,
        start_new_session=True,  # a process group of its own, so that killpg reaches it and Ctrl-C does not
    )


def _connect(
    process: Process,
    sandbox: subprocess.Popen[bytes] | None,
    made: Connection,
    limits: Limits,
    user: int | None,
) -> Worker:
    """Capture the output of a worker, watch its resource usage, and return its handle."""
    made.log.start()
    # The secret goes through the socket, not the command line or the environment, which submitted code could read.
    secret = secrets.token_bytes(SECRET_BYTES)
    marks = _send_secret(made.ours, secret)
    watcher = Watcher(_roots(process, sandbox), limits)
    watcher.start()
    channel = Channel(made.ours, secret, lambda: process.poll() is None, made.segment, marks)
    return Worker(process, channel, made.log, watcher, made.private, made.group, user, sandbox)


def _roots(process: Process, sandbox: subprocess.Popen[bytes] | None) -> tuple[int, ...]:
    return (process.pid,) if sandbox is None else (process.pid, sandbox.pid)


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
