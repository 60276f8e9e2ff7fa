"""Compare counts with fvcore, the counter of the challenges."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from harness.complexity.observation import Observation, OutOfTimeError
from harness.complexity.operators import can_hold_macs
from harness.results.measurement import TOO_LONG

with warnings.catch_warnings():
    # It scripts a loss when it is imported, of which torch warns, and a caller may turn warnings into errors.
    warnings.simplefilter("ignore")
    from fvcore.nn import FlopCountAnalysis

TOLERANCE = 1e-3
"""Largest relative difference of counts that agree."""


def compare_with_fvcore(model: nn.Module, image: Tensor, counted: Observation, deadline: float = math.inf) -> str:
    """Return in a few words how fvcore's count differs from the operators' at a small size.

    Parameters
    ----------
    model
        Network in eval mode. fvcore traces it.
    image
        Input for which `counted` holds.
    counted
        The harness's own count.
    deadline
        Time of `time.monotonic` after which the comparison is given up. Tracing takes minutes for large networks.
    """
    size = "x".join(map(str, image.shape[2:]))
    try:
        with _quiet(), torch.no_grad(), _ending(model, deadline):
            # In fvcore, "flops" are multiply-accumulates.
            analysis = FlopCountAnalysis(model, (image,))
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            theirs = float(analysis.total())
            ignored = sorted(op.removeprefix("aten::") for op in analysis.unsupported_ops() if can_hold_macs(op))
    except OutOfTimeError:
        return f"not compared with fvcore, which {TOO_LONG}"
    except Exception as error:  # noqa: BLE001 - fvcore cannot trace scripted networks, and submitted code raises anything
        return f"fvcore could not check it ({type(error).__name__})"
    # The absolute tolerance is for networks without multiply-accumulates.
    if math.isclose(theirs, counted.macs, rel_tol=TOLERANCE, abs_tol=1):
        return f"fvcore agrees at {size}"
    said = f"fvcore counts {theirs / 1e9:.4g} of {counted.macs / 1e9:.4g} G at {size}"
    return f"{said}, without {', '.join(ignored)[:150]}" if ignored and theirs < counted.macs else said


@contextmanager
def _ending(model: nn.Module, deadline: float) -> Iterator[None]:
    """Raise OutOfTimeError at the next call of a module after the deadline."""

    def check(*_: object) -> None:
        if time.monotonic() > deadline:
            raise OutOfTimeError

    # Scripted modules take no hooks, and fvcore cannot trace them.
    modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
    handles = [module.register_forward_pre_hook(check) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the tracer's log messages and warnings about the submitted code."""
    logger = logging.getLogger("fvcore")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
