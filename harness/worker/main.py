"""Main program of the worker: read a request, execute it and reply, until the controller closes the channel.

Started only by ``harness.isolation.launcher``, as ``python -m harness.worker.main --fd N``. Standard output and
standard error are the submission's log. They are separate from the channel, so that printing cannot corrupt it.
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
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from harness.isolation.channel import Channel
from harness.isolation.failures import describe
from harness.isolation.limits import Limits, apply_in_worker, limits_from_json
from harness.isolation.messages import SECRET_BYTES, Array, ChannelClosed, Message
from harness.isolation.segment import Segment

if TYPE_CHECKING:  # imports torch, which must happen after the limits are set
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
    parser.add_argument("--own-user", action="store_true")
    parser.add_argument("--limits", default="{}")
    options = parser.parse_args(arguments)
    if options.parent:
        _tie_to(options.parent)
    cores = [int(core) for core in options.cores.split(",") if core]
    work(options.fd, options.segment, limits_from_json(options.limits), cores, own_user=options.own_user)


def work(fd: int, segment: int | None, limits: Limits, cores: Collection[int], *, own_user: bool) -> NoReturn:
    """Set the limits of this process, answer requests until the controller closes the channel, and end the process.

    Parameters
    ----------
    fd, segment
        File descriptors of the channel and of the shared memory; None if there is none.
    limits
        Resource limits.
    cores
        Logical processors to pin this process to; empty for no pinning.
    own_user
        Whether the worker runs in its own user namespace or as a user of its own.
    """
    if cores:  # before torch starts threads, which inherit the affinity
        os.sched_setaffinity(0, cores)
    apply_in_worker(limits, own_user=own_user)
    with contextlib.suppress(ChannelClosed):
        serve(*_open_channel(fd, segment))
    os._exit(0)  # skips exit handlers and non-daemon threads of submitted code, which could block the exit


def serve(channel: Channel, mark: Callable[[], object] | None = None) -> NoReturn:
    """Answer requests until the controller closes the channel, which raises :class:`ChannelClosed`.

    `mark` is called just before and just after each timed window.
    """
    from harness.worker.operations import Operations  # imports torch

    operations = Operations(channel.frame, mark)
    for sequence in itertools.count():
        request = channel.receive(sequence)
        channel.send(_answer(operations.run, request), sequence)
    raise AssertionError("unreachable")


def _answer(run: Callable[[str, dict[str, Any], tuple[Array, ...]], Reply], request: Message) -> Message:
    try:
        body, arrays = run(request.name, request.body, request.arrays)
        return Message(request.name, body.model_dump(mode="json"), tuple(arrays))
    except BaseException as error:  # noqa: BLE001  submitted code may also raise SystemExit or KeyboardInterrupt
        return Message("error", describe(error, request.name).model_dump(mode="json"))
    finally:
        # Before the reply is sent: the controller may read the log, or kill this process, right after it.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()


def _open_channel(fd: int, segment: int | None) -> tuple[Channel, Callable[[], object] | None]:
    """Return the channel, and the function that marks begin and end of a timed window; None if there is none."""
    sock = socket.socket(fileno=_moved_high(fd))
    sock.settimeout(None)
    secret, descriptors = b"", []
    while len(secret) < SECRET_BYTES:
        part, received, _, _ = socket.recv_fds(sock, SECRET_BYTES - len(secret), 1)
        descriptors += received
        if not part:
            raise SystemExit("the controller closed the channel before the first request")
        secret += part
    channel = Channel(sock, secret, segment=None if segment is None else Segment(_moved_high(segment)))
    marks = [socket.socket(fileno=_moved_high(descriptor)) for descriptor in descriptors]
    return channel, partial(marks[0].send, b"") if marks else None


def _moved_high(fd: int) -> int:
    """Move an inherited descriptor to a high number, so that code which closes low descriptors does not hit it.

    The new descriptor is close-on-exec: programs that submitted code starts do not inherit the channel.
    """
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # descriptors must be below the soft limit
    # The result is the lowest free number from this one on; 16 numbers below the limit are enough for all descriptors.
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(fd, min(soft, 1024) - 16))
    os.close(fd)
    return high


def _tie_to(parent: int) -> None:
    """Let the kernel kill this process when the controller dies, and adopt orphaned descendants (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    prctl = ctypes.CDLL(None).prctl
    # A daemonized descendant is reparented to this process instead of init, so that it stays in the process tree that
    # the controller watches and kills.
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the controller died before prctl took effect
        os._exit(1)


if __name__ == "__main__":
    main()
