"""What a run leaves behind: schema, measurements, fingerprints and the store of files."""

from harness.results.fingerprint import combine, fingerprint_folder
from harness.results.measurement import ImageQuality, Measurement, TimingRecord
from harness.results.schema import SCHEMA_VERSION, Entry, ErrorInfo, Run
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
