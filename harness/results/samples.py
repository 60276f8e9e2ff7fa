"""The raw samples of a stored run, as they are written and read back."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from harness.errors import ResultsError
from harness.results.measurement import TimingRecord
from harness.results.migration import upgrade


def timing_text(slug: str, timing: TimingRecord) -> bytes:
    """Return what ``samples/SLUG.json`` holds of one network's timing."""
    content = {"slug": slug, "unit": "ms", **timing.model_dump(mode="json")}
    return json.dumps(content, indent=1).encode()


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
    file = run_folder / "samples" / f"{slug}.json"
    try:
        content = json.loads(file.read_bytes())
        record = TimingRecord.model_validate({k: v for k, v in upgrade(content).items() if k not in ("slug", "unit")})
    except OSError as error:
        raise ResultsError(
            "there are no timing samples here", where=str(file), hint="name a row that was timed"
        ) from error
    except (ValueError, AttributeError, RecursionError, ValidationError) as error:
        raise ResultsError("is damaged", where=str(file), hint="run it again to rewrite it") from error
    if any(turn.calls < 0 or min(turn.anchor_ms) <= 0 for turn in record.rounds):
        raise ResultsError(
            "is damaged: a round has a negative number of calls, or a time of the anchor that is not positive",
            where=str(file),
            hint="run it again to rewrite it",
        )
    return record
