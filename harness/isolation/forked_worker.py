"""Start a worker by forking it from a fork server, into the namespaces of a sandbox of its own if it has one."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.isolation.environment import worker_environment
from harness.isolation.fork_server import SERVERS_OF_THIS_PROCESS, ForkedProcess, ForkError
from harness.isolation.fork_settings import ForkSettings
from harness.isolation.launch_plan import Connection, Launch
from harness.isolation.processes import kill_tree, process_tree
from harness.isolation.sandbox import PRIVATE, bwrap_command
from harness.isolation.syscall_filter import filter_program
from harness.isolation.unprivileged import Descent

# The sandbox lives as long as this program: it reports that all is mounted, and waits to be killed.
_KEEPER = "import os, signal\nos.write({0}, b'.')\nos.close({0})\nwhile True: signal.pause()"
# Longest wait until all is mounted in a sandbox.
_SANDBOX_START_S = 60.0


def can_fork(plan: Launch) -> bool:
    """Return whether a worker can be forked: on the CPU, by the interpreter of the harness, and confined.

    Drivers of accelerators do not survive a fork.
    """
    same = plan.python == Path(sys.executable)
    return plan.device == "cpu" and plan.confinement != "none" and same and SERVERS_OF_THIS_PROCESS.problem is None


def fork_worker(
    plan: Launch, made: Connection, way: Descent | None, cores: Sequence[int]
) -> tuple[ForkedProcess, subprocess.Popen[bytes] | None]:
    """Fork a worker.

    Parameters
    ----------
    plan
        Parameters of the worker.
    made
        What connects it with the controller.
    way
        How it becomes unprivileged if the harness runs as root, otherwise None.
    cores
        Logical processors to pin it to; empty for no pinning.

    Returns
    -------
    tuple
        Handles of the worker and of its sandbox; None for the latter if it has none.

    Raises
    ------
    ForkError
        It cannot be forked and has to be executed.
    """
    if plan.confinement != "bwrap":
        return _fork(plan, made, way, cores, None), None
    sandbox = _start_sandbox(plan, made, way)
    try:
        # The tree lists parents first, so the last process is the keeper, inside of all namespaces.
        keeper = os.pidfd_open(process_tree(sandbox.pid)[-1])
        try:
            return _fork(plan, made, way, cores, keeper), sandbox
        finally:
            os.close(keeper)
    except (ForkError, OSError, IndexError) as error:
        kill_tree(sandbox.pid)
        sandbox.wait()
        raise ForkError(str(error)) from error


def _fork(
    plan: Launch, made: Connection, way: Descent | None, cores: Sequence[int], keeper: int | None
) -> ForkedProcess:
    inside = keeper is not None
    folder = PRIVATE if inside else made.private
    environment = worker_environment(threads=plan.threads, private=folder, device=plan.device)
    if inside:
        environment["PWD"] = str(PRIVATE)  # bubblewrap sets it for what it executes
    program = filter_program()
    settings = ForkSettings(
        environment=environment,
        limits=plan.limits,
        own_user=inside or way is not None,
        cores=tuple(cores),
        folder=str(folder),
        program=None if program is None else program.hex(),
        descent=None if way is None else asdict(way),
        in_sandbox=inside,
        group=None if made.group is None else str(made.group.members),
        has_segment=made.segment is not None,
    )
    # `ForkServer.fork` and the server rely on this order of the descriptors.
    channel, *segment = made.inherited
    descriptors = [channel, made.log.writer, *segment, *([] if keeper is None else [keeper])]
    return SERVERS_OF_THIS_PROCESS.fork(settings, descriptors, plan.threads, plan.process)


def _start_sandbox(plan: Launch, made: Connection, way: Descent | None) -> subprocess.Popen[bytes]:
    """Start an empty sandbox, and wait until all is mounted in it."""
    reader, writer = os.pipe()
    command = bwrap_command(
        [sys.executable, "-I", "-S", "-c", _KEEPER.format(writer)],
        environment={},
        root=plan.root,
        inside=plan.inside,
        python=plan.python,
        tmp_bytes=plan.limits.tmp_bytes,
        accelerator=False,
    )
    if way is not None:
        command = way.command(command)
    process = subprocess.Popen(
        command if made.group is None else made.group.joining(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # if it fails, the worker is executed, and what the sandbox says is in its log
        env={"PATH": os.environ.get("PATH", os.defpath)},
        cwd=made.private,
        pass_fds=[writer],
        start_new_session=True,
    )
    os.close(writer)
    try:
        ready = select.select([reader], [], [], _SANDBOX_START_S)[0]
        if ready and os.read(reader, 1):
            return process
    finally:
        os.close(reader)
    kill_tree(process.pid)
    process.wait()
    raise ForkError("the sandbox does not start")
