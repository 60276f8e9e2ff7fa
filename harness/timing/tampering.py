"""Functions that measure, draw or check, as they were before submitted code ran: replaced ones are a foul."""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

import torch

_NAMES: tuple[tuple[Any, str], ...] = (
    *((time, name) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")),
    *((time, name) for name in ("process_time", "process_time_ns", "thread_time", "thread_time_ns")),
    *((random, name) for name in ("random", "randint", "randrange", "choice", "shuffle", "sample", "uniform")),
    *((statistics, name) for name in ("mean", "fmean", "median", "stdev", "pstdev", "variance", "quantiles")),
    *((torch, name) for name in ("isfinite", "allclose", "equal", "Event")),
    *((torch.Tensor, name) for name in ("isfinite", "allclose", "equal", "clone", "copy_", "detach", "numpy")),
    (torch.accelerator, "synchronize"),
    (torch.cuda, "synchronize"),
    (torch.cuda, "Event"),
)


def _present() -> dict[str, object]:
    found = {}
    for owner, name in _NAMES:
        place = owner.__name__ if owner is not torch.Tensor else "torch.Tensor"
        found[f"{place}.{name}"] = getattr(owner, name, None)
    return found


_ORIGINALS = _present()


def replaced_functions() -> list[str]:
    """Return the names of watched functions that are not what they were when this module was imported."""
    return [name for name, function in _present().items() if function is not _ORIGINALS[name]]
