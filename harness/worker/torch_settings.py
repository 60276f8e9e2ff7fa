"""Process-wide settings of torch: those under which networks are measured, and those of a caller's process."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch

# Torch can compute float32 in fewer bits. The settings of all libraries, and of all operators of a library, hold where
# that of the operator is "none".
_FLOAT32 = (
    ("generic", "all"),
    *((library, operators) for library in ("cuda", "mkldnn") for operators in ("all", "matmul", "conv", "rnn")),
)
# Bound before submitted code could replace them.
_precision_of, _set_precision = torch._C._get_fp32_precision_getter, torch._C._set_fp32_precision_setter


def float32_precisions() -> list[str]:
    """Return in how many bits float32 is computed, for each library and kind of operator."""
    return [_precision_of(library, operators) for library, operators in _FLOAT32]


def set_float32_precisions(precisions: Sequence[str]) -> None:
    """Set what :func:`float32_precisions` returned."""
    for (library, operators), precision in zip(_FLOAT32, precisions, strict=True):
        _set_precision(library, operators, precision)


def set_for_measuring(threads: int, *, strict: bool) -> None:
    """Set all that submitted code may have changed.

    Parameters
    ----------
    threads
        Threads of the CPU.
    strict
        Benchmark algorithms for each size, and compute float32 as float32. Otherwise as torch does by default, which
        the published scripts use.
    """
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(threads)
    set_float32_precisions(["none"] * len(_FLOAT32))
    torch.backends.cudnn.benchmark = strict
    torch.backends.cudnn.allow_tf32 = not strict
    # torch's default for matrix products, in both modes.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_grad_enabled(False)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Give a process its settings and the states of its random numbers back, whatever is measured in the block."""
    dtype, threads, grad = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    benchmark, precisions, older = torch.backends.cudnn.benchmark, float32_precisions(), _older_precisions()
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- the generator of submitted code
    is_used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cards = range(torch.cuda.device_count()) if is_used else ()
    try:
        with torch.random.fork_rng(cards):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(grad)
        torch.backends.cudnn.benchmark = benchmark
        if older is not None:
            torch.backends.cudnn.allow_tf32, products = older
            torch.set_float32_matmul_precision(products)
        set_float32_precisions(precisions)


def _older_precisions() -> tuple[bool, str] | None:
    """Return the settings of torch before 2.9, which change others too; None where torch refuses to tell them."""
    try:
        return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    except RuntimeError:  # set in both ways, to different values
        return None
