"""Run a network in a copy of the process, so that nothing that it stores remains.

Networks store results outside of their instance, such as a grid for each size in a dictionary of their Python module.
A tensor of the meta device in it would fail every later call of that size.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import select
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from time import monotonic  # bound before submitted code is imported
from typing import NoReturn, TypeVar, cast

import torch

Result = TypeVar("Result")

_GRACE_S = 5.0
"""Time that the copy has after the limit to stop by itself, seconds."""


def apart(function: Callable[[], Result], limit_s: float = math.inf) -> Result:
    """Return the result of a function that is called in a fork of this process.

    It is called in this process where there is no fork, which is everywhere but on Linux, and where Python code runs
    threads: they would not exist in the fork, and a network that gives work to them would wait for ever.

    Parameters
    ----------
    function
        Its result can be pickled. It computes nothing on an accelerator.
    limit_s
        Seconds after which the function stops by itself. The fork is killed some seconds later.

    Raises
    ------
    Exception
        The function raises, or its process ends early. The exception is another one than that of the function.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return function()
    receiver, sender = os.pipe()
    with warnings.catch_warnings():
        # Python warns of threads of libraries, whose locks may be held for ever in the fork; the limit covers this.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            child = os.fork()
        except OSError:  # the limit on processes is reached
            os.close(receiver)
            os.close(sender)
            return function()
    if child == 0:
        os.close(receiver)
        _answer(function, sender)
    os.close(sender)
    try:
        answer = _received(receiver, monotonic() + limit_s + _GRACE_S)
    finally:
        os.close(receiver)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    if not answer:
        raise RuntimeError("the function failed in its process")
    return cast("Result", pickle.loads(answer))  # noqa: S301 -- written by a fork of this process, with the same code


def _answer(function: Callable[[], object], sender: int) -> NoReturn:
    """Write the result of a function into a pipe, and end the process without what it does at its exit."""
    try:
        # Threads of libraries do not exist in a fork, and a call that waits for them would not return.
        torch.set_num_threads(1)
        answer = pickle.dumps(function())
        with open(sender, "wb") as file:
            file.write(answer)
    finally:
        os._exit(0)


def _received(receiver: int, deadline: float) -> bytes:
    """Return what arrives until the other end is closed; nothing if that takes too long."""
    parts: list[bytes] = []
    while True:
        left = min(deadline - monotonic(), 3600.0)
        if left <= 0:
            return b""
        if not select.select([receiver], [], [], left)[0]:
            continue
        part = os.read(receiver, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
