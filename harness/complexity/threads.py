"""Observe what a network computes in other threads: modes of torch apply to the thread that entered them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from threading import RLock, Thread, get_ident
from typing import Any
from unittest import mock

# Patches that overlap would be undone in the wrong order.
_PATCHING = RLock()


@contextmanager
def entered_by_threads(mode: AbstractContextManager[object]) -> Iterator[None]:
    """Let functions that code gives to threads and to pools of threads within the block run in a mode of torch.

    That is the code of this thread, and of the threads to which it gives functions. One block is entered at a time.
    """
    start, submit = Thread.start, ThreadPoolExecutor.submit
    concerned = {get_ident()}

    def within(function: Callable[..., Any]) -> Callable[..., Any]:
        if get_ident() not in concerned:  # of another network in this process, or of the harness
            return function

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            concerned.add(get_ident())
            with mode:
                return function(*args, **kwargs)

        return run

    def start_within(thread: Thread) -> None:
        # Threads of a pool outlive the block. What they execute enters the mode by itself.
        if getattr(getattr(thread, "_target", None), "__module__", "") != ThreadPoolExecutor.__module__:
            thread.run = within(thread.run)  # type: ignore[method-assign]
        start(thread)

    def submit_within(pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return submit(pool, within(function), *args, **kwargs)

    with (
        _PATCHING,
        mock.patch.object(Thread, "start", start_within),
        mock.patch.object(ThreadPoolExecutor, "submit", submit_within),
    ):
        yield
