"""Bounds that no network on any device can pass: figures beyond them were not measured."""

from __future__ import annotations

import statistics

from harness.errors import DISQUALIFIED
from harness.results import ErrorInfo, Measurement

_LEAST_CALL_MS = 0.001
"""A microsecond. A call of a module in Python takes several, even if it computes nothing."""
_MARGIN = 20.0
"""How many times faster than the device's measured ceilings a network may seem: caches, fast convolution algorithms."""
# Of half precision, the smallest format of an output, so that the bound holds for all precisions.
_ITEM_BYTES = 2


def disqualify_if_impossible(measurement: Measurement, output_shape: tuple[int, int, int, int]) -> Measurement:
    """Return the measurement, disqualified if its figures pass a bound; see :func:`violation`."""
    # A row that failed keeps its own reason.
    what = violation(measurement, output_shape) if measurement.error is None else None
    if what is None:
        return measurement
    reason = ErrorInfo(stage="time", type=DISQUALIFIED, message=what)
    return measurement.model_copy(update={"status": "disqualified", "error": reason})


def violation(measurement: Measurement, output_shape: tuple[int, int, int, int]) -> str | None:
    """Return which bound the figures of a timed network pass; None if they are possible.

    Parameters
    ----------
    measurement
        With the times of all calls.
    output_shape
        N, C, H, W of the output of one call.
    """
    timing = measurement.timing
    if timing is None or not timing.samples:
        return None
    ms = statistics.median(ms for _, ms in timing.samples)
    if ms < _LEAST_CALL_MS:
        return f"{ms:.2g} ms for a frame ({1000 / ms:,.0f} fps): no call of a network takes less than a microsecond"
    ceilings = measurement.ceilings
    # The anchor failed, or the device's rates could not be measured: only the absolute bound holds.
    if ceilings is None:
        return None
    # Bytes of the output, which any network must write. Reading the input and the weights comes on top.
    written = _ITEM_BYTES * output_shape[0] * output_shape[1] * output_shape[2] * output_shape[3]
    if written / (ms / 1e3) > _MARGIN * ceilings.bytes_per_s:
        return f"{ms:.3g} ms for a frame: the device cannot write {written / 1e6:.3g} MB of output in that time"
    if measurement.macs is not None and measurement.macs / (ms / 1e3) > _MARGIN * ceilings.macs_per_s:
        # Per millisecond to T per second: 1e3 / 1e12.
        rate, most = measurement.macs / ms / 1e9, ceilings.macs_per_s / 1e12
        return f"{rate:.3g} T multiply-accumulates in a second, where the device has done {most:.3g} T at best"
    return None
