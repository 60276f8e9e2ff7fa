"""What bounds a network: arithmetic, memory or launches (Williams, Waterman and Patterson, CACM 52(4), 2009)."""

from __future__ import annotations

from harness.results.measurement import Measurement
from harness.results.schema import Roofline

_LAUNCHES_ONE_BY_ONE = ("eager", "channels_last")


def roofline(measured: Measurement, milliseconds: float | None) -> Roofline | None:
    """Return the rates that a network reaches and what bounds it.

    For each resource, the time that it would take at the device's measured ceiling is a fraction of the time that was
    taken; the bound is the resource with the largest fraction. Launches count where operators are launched one by one.

    Parameters
    ----------
    measured
        With ``macs``, ``bytes_moved``, ``operators`` and ``ceilings``.
    milliseconds
        The runtime that the score uses.

    Returns
    -------
    Roofline or None
        None where one of these is unknown.
    """
    ceilings = measured.ceilings
    if None in (milliseconds, measured.macs, measured.bytes_moved, measured.operators) or ceilings is None:
        return None
    assert milliseconds is not None
    assert measured.macs is not None
    assert measured.bytes_moved is not None
    assert measured.operators is not None
    seconds = milliseconds / 1e3
    macs_per_s, bytes_per_s = measured.macs / seconds, measured.bytes_moved / seconds
    one_by_one = measured.backend in _LAUNCHES_ONE_BY_ONE
    fractions = {
        "compute": macs_per_s / ceilings.macs_per_s,
        "memory": bytes_per_s / ceilings.bytes_per_s,
        "launches": measured.operators * ceilings.launch_s / seconds if one_by_one else 0.0,
    }
    return Roofline(
        bytes_moved=measured.bytes_moved,
        operators=measured.operators,
        macs_per_s=macs_per_s,
        bytes_per_s=bytes_per_s,
        compute_fraction=fractions["compute"],
        memory_fraction=fractions["memory"],
        launch_fraction=fractions["launches"] if one_by_one else None,
        bound=max(fractions, key=lambda name: fractions[name]),
        ceilings=ceilings,
    )
