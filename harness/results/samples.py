"""Write and read the raw timing samples of a run."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import ResultsError
from harness.results.measurement import TimingRecord
from harness.results.migration import upgrade
from harness.results.reading import check_timing, reading


def timing_text(slug: str, timing: TimingRecord) -> bytes:
    """Return what ``samples/SLUG.json`` holds of one network's timing."""
    # The file explains itself to readers without the schema.
    content = {"slug": slug, "unit": "ms", **timing.model_dump(mode="json")}
    return json.dumps(content, indent=1).encode()


def has_timing(run_folder: Path, slug: str) -> bool:
    """Return whether a run's folder holds the timing samples of a row."""
    return _file(run_folder, slug).is_file()


def read_timing(run_folder: Path, slug: str) -> TimingRecord:
    """Read every call of one network's timing, to summarise or to draw it.

    Parameters
    ----------
    run_folder
        Folder of a finished run.
    slug
        Which row.

    Raises
    ------
    ResultsError
        The network was not timed, or its file is damaged.
    """
    file = _file(run_folder, slug)
    if not has_timing(run_folder, slug):
        raise ResultsError("there are no timing samples here", where=str(file), hint="name a row that was timed")
    with reading(file):
        content = json.loads(file.read_bytes())
        # These two keys are for readers of the file and not part of the record.
        record = TimingRecord.model_validate({k: v for k, v in upgrade(content).items() if k not in ("slug", "unit")})
        check_timing(record)
    return record


def _file(run_folder: Path, slug: str) -> Path:
    return run_folder / "samples" / f"{slug}.json"
