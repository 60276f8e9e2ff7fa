"""Process many images with several threads, in order and with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, computed by `workers` threads.

    Unlike with ``Executor.map``, at most `workers` results are being computed or waiting to be consumed, so that a slow
    consumer blocks the threads instead of filling the memory.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[Result]] = deque(pool.submit(function, item) for item in islice(remaining, workers))
        while pending:
            result = pending.popleft().result()
            # Submit before yielding, so that the threads are busy while the consumer processes this result.
            pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
            yield result
