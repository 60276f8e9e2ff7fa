"""Which backend each network of a run should use, as ``results.json`` has it."""

from __future__ import annotations

from harness.results.record import Backend, Interval, Record


class BackendCell(Record):
    """One network on one backend. Its figures are in its row of ``entries``."""

    backend: Backend
    """As the run asked for it. The row names the backend that executed the network, which differs for ONNX files."""
    slug: str
    """Of the row in ``entries``."""
    holds: bool = False
    """Whether it was measured to the end and its PSNR is at most 0.01 dB below the network's best on any backend."""
    ratio: float | None = None
    """Its time over that of the fastest backend that holds; None for backends that do not hold."""
    ci: Interval | None = None
    """95 % interval of the ratio; None if it is unbounded."""
    p_value: float | None = None
    """Two-sided, of the hypothesis that both are equally fast, corrected for the network's pairs by Holm's method."""


class BackendRow(Record):
    """One network on all backends of a run."""

    name: str
    slug: str
    """Of its row on the run's first backend."""
    cells: list[BackendCell]
    """In the order in which the backends were named; a backend that was not tried has none."""
    use: Backend | None = None
    """The backend to use: of ``fastest`` the one that was named first; None if no backend holds."""
    fastest: list[Backend] = []
    """The fastest backend that holds, and all from whose time it does not differ significantly."""
