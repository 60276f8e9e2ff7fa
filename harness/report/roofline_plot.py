"""Roofline plot of a network: rate against arithmetic intensity on logarithmic axes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.report.numbers import fixed
from harness.results.columns import LOWER_BOUND
from harness.results.schema import Roofline

# Edges of the plot in units of the template's view box.
LEFT, RIGHT, TOP, BOTTOM = 62.0, 740.0, 14.0, 214.0
BOUNDS = {"compute": "arithmetic", "memory": "memory traffic", "launches": "launches of operators"}


@dataclass(frozen=True, slots=True)
class RooflinePlot:
    """Geometry for the template: the roof as a path, the network as a point, ticks as (position, text)."""

    roof: str
    point: tuple[float, float]
    intensities: list[tuple[float, str]]
    rates: list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Decades from ``low`` to ``high``, as exponents of ten, between two places."""

    low: int
    high: int
    begin: float
    end: float

    def place(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 2)

    def ticks(self) -> list[tuple[float, str]]:
        return [(self.place(10.0**decade), f"{10.0**decade:g}") for decade in range(self.low, self.high + 1)]


def roofline_plot(roof: Roofline) -> RooflinePlot | None:
    """Lay out the figure in MACs per byte and GMAC/s; None for a network without multiply-accumulates."""
    if not roof.macs_per_s or not roof.bytes_per_s:
        return None
    peak, slope = roof.ceilings.macs_per_s / 1e9, roof.ceilings.bytes_per_s / 1e9
    # The knee is the intensity, in MACs per byte, at which both ceilings are equal.
    knee, intensity, rate = peak / slope, roof.macs_per_s / roof.bytes_per_s, roof.macs_per_s / 1e9
    # A decade to either side of the knee, or more if the network lies further out.
    x = _axis([knee / 10, knee * 10, intensity], LEFT, RIGHT)
    # BOTTOM is larger than TOP: the y axis of SVG points down.
    y = _axis([10.0**x.low * slope, peak * 1.5, rate], BOTTOM, TOP)
    # Left of the knee the roof is the intensity times the bandwidth, right of it the peak rate.
    foot, end = (x.begin, y.place(10.0**x.low * slope)), (x.end, y.place(peak))
    bend = x.place(knee), y.place(peak)
    path = "M" + "L".join(f"{across:g} {up:g}" for across, up in (foot, bend, end))
    return RooflinePlot(path, (x.place(intensity), y.place(rate)), x.ticks(), y.ticks())


def _axis(values: list[float], begin: float, end: float) -> _Axis:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    # At least one decade.
    return _Axis(low, max(high, low + 1), begin, end)


def roofline_rows(roof: Roofline, macs: int | None, *, lower_bound: bool = False) -> list[tuple[str, str, str, str]]:
    """Return (resource, needed by one pass, rate or time, share of the device's ceiling)."""
    mark = f"{LOWER_BOUND} " if lower_bound else ""
    ceilings = roof.ceilings
    rows = [
        (
            "Arithmetic",
            f"{mark}{fixed((macs or 0) / 1e9, 3)} GMAC",
            f"{mark}{fixed(roof.macs_per_s / 1e9, 1)} of {fixed(ceilings.macs_per_s / 1e9, 1)} GMAC/s",
            f"{mark}{fixed(100 * roof.compute_fraction, 1)} %",
        ),
        (
            "Memory",
            f"{fixed(roof.bytes_moved / 1e6, 1)} MB",
            f"{fixed(roof.bytes_per_s / 1e9, 1)} of {fixed(ceilings.bytes_per_s / 1e9, 1)} GB/s",
            f"{fixed(100 * roof.memory_fraction, 1)} %",
        ),
    ]
    if roof.launch_fraction is not None:
        each = f"at least {fixed(ceilings.launch_s * 1e6, 1)} µs each"
        rows.append(
            (
                "Launches",
                f"{roof.operators} operator{'' if roof.operators == 1 else 's'}",
                each,
                f"{fixed(100 * roof.launch_fraction, 1)} %",
            )
        )
    return rows
