"""Detect whether submitted code has replaced functions that the harness uses to measure, randomize or check.

This is a deterrent and not a proof: code in the same process could also patch this module.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

import torch

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_NAMES: tuple[tuple[str, Any, str], ...] = (
    *(("time", time, name + unit) for name in _CLOCKS for unit in ("", "_ns")),
    *(
        ("random", random, name)
        for name in ("random", "randint", "randrange", "choice", "shuffle", "sample", "uniform")
    ),
    *(("statistics", statistics, name) for name in ("mean", "fmean", "median", "stdev", "pstdev", "variance")),
    *(("torch", torch, name) for name in ("isfinite", "allclose", "equal", "Event")),
    *(
        ("torch.Tensor", torch.Tensor, name)
        for name in ("isfinite", "allclose", "equal", "clone", "copy_", "detach", "numpy")
    ),
    ("torch.accelerator", torch.accelerator, "synchronize"),
    ("torch.cuda", torch.cuda, "synchronize"),
    ("torch.cuda", torch.cuda, "Event"),
)


def _present() -> dict[str, object]:
    return {f"{place}.{name}": getattr(owner, name, None) for place, owner, name in _NAMES}


class TamperDetector:
    """Stores the original functions when it is created, which must be before submitted code is imported."""

    def __init__(self) -> None:
        self._originals = _present()

    def replaced(self) -> list[str]:
        """Return the qualified names of the functions that have been replaced since."""
        return [name for name, function in _present().items() if function is not self._originals[name]]
