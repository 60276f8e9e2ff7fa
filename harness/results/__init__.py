"""Results of a run: schema, measurements, fingerprints and the store of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.results.fingerprint import combine, fingerprint_folder
from harness.results.measurement import ImageQuality, Measurement, TimingRecord
from harness.results.schema import SCHEMA_VERSION, Entry, ErrorInfo, Run

if TYPE_CHECKING:
    from harness.results.store import RunStore, read_run

__all__ = [
    "SCHEMA_VERSION",
    "Entry",
    "ErrorInfo",
    "ImageQuality",
    "Measurement",
    "Run",
    "RunStore",
    "TimingRecord",
    "combine",
    "fingerprint_folder",
    "read_run",
]


def __getattr__(name: str) -> Any:
    """Import what reads and writes the folder of a run only when it is asked for: workers import this package too."""
    if name in ("RunStore", "read_run"):
        from harness.results import store

        return getattr(store, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
