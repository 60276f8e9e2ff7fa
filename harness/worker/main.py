"""The worker's main program: read a request, carry it out, reply, until the controller closes the channel.

Run as ``python -m harness.worker.main --fd N`` by ``harness.isolation.launcher`` alone. Standard output and
standard error are the submission's log; what it prints there cannot reach the channel.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import itertools
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from harness.isolation.channel import Channel
from harness.isolation.failures import describe
from harness.isolation.limits import apply_in_worker, limits_from_json
from harness.isolation.messages import SECRET_BYTES, Array, ChannelClosed, Message
from harness.isolation.segment import Segment

if TYPE_CHECKING:  # torch is imported when the limits are in force
    from harness.worker.operations import Reply

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str] | None = None) -> NoReturn:
    """Serve one controller until it closes the channel."""
    parser = argparse.ArgumentParser(prog="harness.worker.main")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--segment", type=int)
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--cores", default="")
    parser.add_argument("--sandboxed", action="store_true")
    parser.add_argument("--limits", default="{}")
    options = parser.parse_args(arguments)
    _tie_to(options.parent)
    if options.cores:  # before torch is imported, whose threads inherit it
        os.sched_setaffinity(0, map(int, options.cores.split(",")))
    apply_in_worker(limits_from_json(options.limits), own_namespace=options.sandboxed)
    with contextlib.suppress(ChannelClosed):
        serve(_open_channel(options.fd, options.segment))
    os._exit(0)  # neither exit handlers nor threads of submitted code may hold the process


def serve(channel: Channel) -> NoReturn:
    """Answer requests; raises ChannelClosed when the controller has gone."""
    from harness.worker.operations import Operations

    operations = Operations(channel.frame)
    for sequence in itertools.count():
        request = channel.receive(sequence)
        channel.send(_answer(operations.run, request), sequence)
    raise AssertionError("unreachable")


def _answer(run: Callable[[str, dict[str, Any], tuple[Array, ...]], Reply], request: Message) -> Message:
    try:
        body, arrays = run(request.name, request.body, request.arrays)
        return Message(request.name, body.model_dump(mode="json"), tuple(arrays))
    except BaseException as error:  # noqa: BLE001  also sys.exit and KeyboardInterrupt of submitted code
        return Message("error", describe(error, request.name).model_dump(mode="json"))
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()


def _open_channel(fd: int, segment: int | None) -> Channel:
    sock = socket.socket(fileno=_taken_high(fd))
    sock.settimeout(None)
    secret = b""
    while len(secret) < SECRET_BYTES:
        part = sock.recv(SECRET_BYTES - len(secret))
        if not part:
            raise SystemExit("the controller closed the channel before the first request")
        secret += part
    return Channel(sock, secret, segment=None if segment is None else Segment(_taken_high(segment)))


def _taken_high(fd: int) -> int:
    """Take an inherited descriptor to a high number, out of the way of code that counts descriptors."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(fd, min(soft, 1024) - 16))
    os.close(fd)
    return high


def _tie_to(parent: int) -> None:
    """Have the kernel kill this process when the controller dies, and keep its orphans its own (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if parent:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    main()
