"""Detect whether submitted code has replaced functions that the harness uses to measure, randomize or check.

This is a deterrent and not a proof: code in the same process could also patch this module.
"""

from __future__ import annotations

import builtins
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch._C._dynamo import eval_frame
from torch.overrides import _get_current_function_mode_stack
from torch.utils import _device
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from harness.worker.process_state import PATCHING

# Functions that a submission could replace to appear faster, to predict random inputs, or to pass checks.
_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
# What is called with a frame before the clock starts, or with an output: code in its place could do the network's work
# outside of the window. `tests/timing/test_tampering.py` finds out what is called.
_TORCH = ("isfinite", "allclose", "equal", "Event", "empty", "empty_like", "from_numpy", "ones", "stack", "tensor")
_TENSOR = (
    *("isfinite", "allclose", "equal", "clone", "copy_", "detach", "numpy", "add_", "bitwise_and_", "int", "byte"),
    *("bitwise_right_shift_", "bitwise_xor_", "clamp_", "contiguous", "div_", "mul", "mul_", "new_empty", "permute"),
    *("roll", "round_", "set_", "stride", "sum", "to", "untyped_storage", "zero_", "data_ptr"),
    *("device", "dtype", "itemsize", "layout", "nbytes", "ndim", "shape"),
    # Methods that Python calls by itself; `__del__` runs when a tensor is freed, `__getattribute__` at each access.
    *("__getattribute__", "__getattr__", "__del__", "__getitem__", "__setitem__", "__mul__", "__float__", "__int__"),
    *("__invert__", "__bool__"),
)
_NUMPY = ("array", "empty", "frombuffer", "int64", "float32", "stack", "uint64", "uint8", "zeros")
# Built-in functions that honest code replaces, and that nothing between a frame and the clock calls.
_REPLACEABLE = frozenset(
    ("print", "input", "open", "breakpoint", "help", "exit", "quit", "copyright", "credits", "license", "_")
)
_BUILTINS = sorted(name for name, one in vars(builtins).items() if callable(one) and name not in _REPLACEABLE)
_NAMES: tuple[tuple[str, Any, str], ...] = (
    *(("time", time, name + unit) for name in _CLOCKS for unit in ("", "_ns")),
    *(
        ("random", random, name)
        for name in ("random", "randint", "randrange", "choice", "shuffle", "sample", "uniform")
    ),
    *(("statistics", statistics, name) for name in ("mean", "fmean", "median", "stdev", "pstdev", "variance")),
    *(("torch", torch, name) for name in _TORCH),
    *(("torch.Tensor", torch.Tensor, name) for name in _TENSOR),
    *(("numpy", np, name) for name in _NUMPY),
    *(("builtins", builtins, name) for name in _BUILTINS),
    ("torch.accelerator", torch.accelerator, "synchronize"),
    ("torch.accelerator", torch.accelerator, "_get_device_index"),  # called by `synchronize`, as the next one is
    ("torch._C", torch._C, "_accelerator_synchronizeDevice"),
    ("torch.cuda", torch.cuda, "synchronize"),
    ("torch.cuda", torch.cuda, "Event"),
    # The mode of torch.set_default_device, the only one that may be set up, calls these for each operation.
    *(("DeviceContext", DeviceContext, name) for name in ("__torch_function__", "__getattribute__", "__getattr__")),
    ("torch.utils._device", _device, "_device_constructors"),
)


# Operators behind these functions and their parts, whose kernels `torch.library` can replace.
_OPERATORS = tuple(
    f"aten::{name}"
    for name in (
        *("add_.Tensor", "alias", "as_strided", "bitwise_and_.Scalar", "bitwise_and_.Tensor", "bitwise_xor_.Tensor"),
        *("bitwise_right_shift_.Tensor_Scalar", "cat", "clamp_", "clone", "contiguous", "copy_", "detach", "detach_"),
        *("div_.Tensor", "empty.memory_format", "empty_like", "empty_strided", "equal", "fill_.Scalar", "item"),
        *("_local_scalar_dense", "lift_fresh", "mul.Tensor", "mul_.Tensor", "new_empty", "ones", "pad", "permute"),
        *("replication_pad2d", "resolve_conj", "resolve_neg", "roll", "round_", "select.int", "slice.Tensor"),
        *("set_.source_Storage_storage_offset", "stack", "sum", "to.device", "to.dtype", "to.dtype_layout"),
        *("_to_copy", "unsqueeze", "zero_"),
    )
)
_LATER_OPERATORS = 8  # that a later check looks at
_OPERATORS_OF_A_CALL = 1  # that are looked at before a call
# Bound before submitted code could replace them.
_kernels_of, _random_bytes, _number = torch._C._dispatch_dump_table, os.urandom, int.from_bytes
_trace_of, _profile_of, _set_trace, _set_profile = sys.gettrace, sys.getprofile, sys.settrace, sys.setprofile
_evaluate_frames_by = eval_frame.set_eval_frame
_SIGNALS = sorted(signal.Signals)  # their handlers run between any two steps of Python code


def _present() -> dict[str, tuple[object, object]]:
    """Return each function with its code, which can be replaced, too."""
    found = ((f"{place}.{name}", getattr(owner, name, None)) for place, owner, name in _NAMES)
    return {name: (function, getattr(function, "__code__", None)) for name, function in found}


def _kernels(operators: Sequence[str]) -> dict[str, list[str]]:
    """Return where the kernels of operators were registered, without those for tensors that hold no data."""
    tables = ((name, _kernels_of(name).splitlines()) for name in operators)
    return {name: [line for line in table if "Meta" not in line.partition(":")[0]] for name, table in tables}


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
        # That of torch.set_default_device may stay. A subclass may do anything, and so may a method of an instance.
        if type(mode) is not DeviceContext or "__torch_function__" in vars(mode):
            found[f"the mode {type(mode).__name__}"] = mode
    return {name: watcher for name, watcher in found.items() if watcher is not None}


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return all(mine is theirs for mine, theirs in zip(one, other, strict=True))


class TamperDetector:
    """Stores the original functions when it is created, which must be before submitted code is imported."""

    def __init__(self) -> None:
        with PATCHING:
            self._originals = _present()
        self._kernels = _kernels(_OPERATORS)
        self._watchers = _watchers()
        self._has_seen_all = False

    def replaced(self) -> list[str]:
        """Return the qualified names of the functions and operators that have been replaced since.

        The first call looks at all of them. Later ones look at all functions and, because a look at all operators takes
        5 ms, at some of those, from a random one on.
        """
        number = _LATER_OPERATORS if self._has_seen_all else len(_OPERATORS)
        self._has_seen_all = True
        return self._replaced(number)

    def before_call(self) -> tuple[list[str], list[str]]:
        """Return what :meth:`replaced` and :meth:`watching` return, and take away what Python would call at each step.

        To be called before the frame of each call is made: code that is called with a frame could restore what it
        replaced before the request ends. One operator is looked at. Tracers that native code has set are not reported
        by Python, and one that sees this call could take itself away, so they are taken away in any case.
        """
        replaced, watching = self._replaced(_OPERATORS_OF_A_CALL), self.watching()
        if _evaluate_frames_by(None):
            watching.append("a callback for the evaluation of frames")
        if _trace_of() is None:
            _set_trace(None)
        if _profile_of() is None:
            _set_profile(None)
        return replaced, watching

    def _replaced(self, operators: int) -> list[str]:
        first = _number(_random_bytes(2), "little") % len(_OPERATORS)
        some = (*_OPERATORS[first:], *_OPERATORS[:first])[:operators]
        with PATCHING:
            functions = [name for name, found in _present().items() if not _same(found, self._originals[name])]
            return functions + [name for name, kernels in _kernels(some).items() if kernels != self._kernels[name]]

    def watching(self) -> list[str]:
        """Return the hooks that were set up since and can run submitted code during the harness's calls."""
        return [name[:100] for name in _watchers() if name not in self._watchers]
