"""Detect whether submitted code has replaced functions that the harness uses to measure, randomize or check.

This is a deterrent and not a proof: code in the same process could also patch this module.
"""

from __future__ import annotations

import random
import signal
import statistics
import sys
import time
from typing import Any

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

# Functions that a submission could replace to appear faster, to predict random inputs, or to pass checks.
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


_SIGNALS = sorted(signal.Signals)  # their handlers run between any two steps of Python code


def _present() -> dict[str, object]:
    return {f"{place}.{name}": getattr(owner, name, None) for place, owner, name in _NAMES}


def _watchers() -> dict[str, object]:
    """Return what is called whenever Python code or a torch operation runs, or at any moment, by a description."""
    found: dict[str, object] = {"sys.settrace": sys.gettrace(), "sys.setprofile": sys.getprofile()}
    handlers = ((number, signal.getsignal(number)) for number in _SIGNALS)
    found |= {f"a handler of {number.name}": handler for number, handler in handlers if callable(handler)}
    monitoring: Any = getattr(sys, "monitoring", None)  # Python 3.12
    # Tools of sys.monitoring have the ids 0 to 5.
    for tool in range(6) if monitoring is not None else ():
        found[f"sys.monitoring (tool {tool})"] = monitoring.get_tool(tool)
    functions = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    for mode in (*functions, *_get_current_dispatch_mode_stack()):
        if not isinstance(mode, DeviceContext):  # of torch.set_default_device
            found[f"the mode {type(mode).__name__}"] = mode
    return {name: watcher for name, watcher in found.items() if watcher is not None}


class TamperDetector:
    """Stores the original functions when it is created, which must be before submitted code is imported."""

    def __init__(self) -> None:
        self._originals = _present()
        self._watchers = _watchers()

    def replaced(self) -> list[str]:
        """Return the qualified names of the functions that have been replaced since."""
        return [name for name, function in _present().items() if function is not self._originals[name]]

    def watching(self) -> list[str]:
        """Return the hooks that were set up since and can run submitted code during the harness's calls."""
        return [name[:100] for name in _watchers() if name not in self._watchers]
