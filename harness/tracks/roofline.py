"""The resource that bounds a network: arithmetic, memory or launches.

Williams, Waterman and Patterson, Communications of the ACM 52(4), 2009.
"""

from __future__ import annotations

from harness.results.measurement import Measurement
from harness.results.schema import Ceilings, Roofline

_LAUNCHES_ONE_BY_ONE = ("eager", "channels_last")


def roofline(measured: Measurement, milliseconds: float | None) -> Roofline | None:
    """Return the rates that a network reaches and the resource that bounds it.

    For each resource, the time at the device's measured ceiling is divided by the runtime. The bound is the resource
    with the largest fraction. Launches count if the backend launches operators one by one.

    Parameters
    ----------
    measured
        With ``macs``, ``bytes_moved``, ``operators`` and ``ceilings``.
    milliseconds
        The runtime that the score uses.

    Returns
    -------
    Roofline or None
        None if one of these is unknown.
    """
    macs, moved, operators, ceilings = measured.macs, measured.bytes_moved, measured.operators, measured.ceilings
    if milliseconds is None or macs is None or moved is None or operators is None or ceilings is None:
        return None
    # Compiled and recorded networks launch fewer, or replay all at once.
    launched = operators if measured.backend in _LAUNCHES_ONE_BY_ONE else None
    return _roofline((macs, moved, operators), launched, ceilings, milliseconds / 1e3)


def roofline_at(known: Roofline, macs: int, milliseconds: float) -> Roofline:
    """Return the roofline of the same network at another runtime.

    Parameters
    ----------
    known
        Roofline at the earlier runtime.
    macs
        Multiply-accumulates of one forward pass.
    milliseconds
        The other runtime.
    """
    launched = None if known.launch_fraction is None else known.operators
    return _roofline((macs, known.bytes_moved, known.operators), launched, known.ceilings, milliseconds / 1e3)


def _roofline(work: tuple[int, int, int], launched: int | None, ceilings: Ceilings, seconds: float) -> Roofline:
    """Return the roofline of `work`: multiply-accumulates, bytes and operators of one forward pass."""
    macs, moved, operators = work
    fractions = {
        "compute": macs / seconds / ceilings.macs_per_s,
        "memory": moved / seconds / ceilings.bytes_per_s,
        "launches": (launched or 0) * ceilings.launch_s / seconds,
    }
    return Roofline(
        bytes_moved=moved,
        operators=operators,
        macs_per_s=macs / seconds,
        bytes_per_s=moved / seconds,
        compute_fraction=fractions["compute"],
        memory_fraction=fractions["memory"],
        launch_fraction=None if launched is None else fractions["launches"],
        # A fraction of 1 would mean that the network runs at the ceiling of this resource.
        bound=max(fractions, key=lambda name: fractions[name]),
        ceilings=ceilings,
    )
