"""Fork server: import what workers need, and fork a worker for each request.

Started only by ``harness.isolation.fork_server``, as ``python -m harness.worker.forking --fd N``. It executes no code
of a submission and reads none of its files. It ends when the controller closes the channel.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from typing import NoReturn

from harness.isolation.fork_settings import ForkSettings
from harness.isolation.harden import wait_for
from harness.worker.confinement import Confined, protect_from_other_processes

_MESSAGE_BYTES = 1 << 20
_MAX_DESCRIPTORS = 8


def main(arguments: list[str] | None = None) -> NoReturn:
    """Serve until the controller closes the channel."""
    parser = argparse.ArgumentParser(prog="harness.worker.forking")
    parser.add_argument("--fd", type=int, required=True)
    channel = socket.socket(fileno=parser.parse_args(arguments).fd)
    _import_what_workers_need()
    protect_from_other_processes()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the processes: they report for themselves
    while True:
        # The channel is of SOCK_SEQPACKET, so a message arrives whole. Both limits are above what `ForkServer` sends.
        message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, _MAX_DESCRIPTORS)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            # With SIGCHLD ignored, `wait_for` would get no status.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel.close()
            _keep(ForkSettings.from_json(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _import_what_workers_need() -> None:
    import harness.complexity.count
    import harness.reparam
    import harness.worker.contract
    import harness.worker.loader
    import harness.worker.main
    import harness.worker.measure
    import harness.worker.operations  # noqa: F401


def _keep(settings: ForkSettings, descriptors: list[int]) -> NoReturn:
    """Confine this process, fork the worker, wait for it, and report how it ended."""
    *given, status = descriptors
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        os.setsid()
        confined = Confined(settings, given, libc)
        confined.enter()
        child = os.fork()
    except Exception as error:  # noqa: BLE001  any exception means that the worker is not started
        os.write(status, f"failed {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    if child == 0:
        os.close(status)
        _work(confined)
    os.write(status, f"started {os.getpid()}\n".encode())
    # The controller notices the end of a worker by the end of its channel, so no copy of it may stay open here.
    _close_all_but(status)
    os.write(status, str(os.waitstatus_to_exitcode(wait_for(child))).encode())
    os._exit(0)


def _work(confined: Confined) -> NoReturn:
    from harness.worker.main import work

    try:
        confined.become_worker()
        settings = confined.settings
        work(confined.channel, confined.segment, settings.limits, settings.cores, own_user=settings.own_user)
    except BaseException as error:  # noqa: BLE001  no exception may reach the loop of the server
        with contextlib.suppress(Exception):
            sys.stderr.write(f"harness: the worker does not start: {type(error).__name__}: {error}\n")
    os._exit(1)


def _close_all_but(kept: int) -> None:
    # An unlimited number is reported as -1; the mask turns it into the largest C int.
    last = resource.getrlimit(resource.RLIMIT_NOFILE)[1] & 0x7FFFFFFF
    os.closerange(0, kept)
    os.closerange(kept + 1, last)


if __name__ == "__main__":
    main()
