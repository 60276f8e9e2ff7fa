"""Read stored files: whatever is damaged in them raises ResultsError, and no other exception."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from harness.errors import ResultsError
from harness.results.measurement import Measurement, TimingRecord
from harness.results.schema import Run
from harness.text import first_line, single_line

_HINT = "run it again to rewrite it; stored measurements are reused"


@contextmanager
def reading(path: Path, what: str = "is damaged") -> Iterator[None]:
    """Convert every exception that damaged content causes within the context to ResultsError.

    Parameters
    ----------
    path
        File or folder that is read.
    what
        How the message begins.

    Raises
    ------
    ResultsError
        The content cannot be read or used.
    """
    try:
        yield
    except (ResultsError, BrokenPipeError):  # a closed pipe is of the terminal, not of a file
        raise
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = single_line(f"{place}: {first['msg']}", 500)
        raise ResultsError(f"{what}: {reason}", where=str(path), hint=_HINT) from error
    except OSError as error:
        raise ResultsError(f"cannot be read ({error.strerror or error})", where=str(path), hint=_HINT) from error
    # What indexing, arithmetic and conversions raise for content that no run has written.
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, MemoryError) as error:
        reason = single_line(first_line(str(error), ""), 300)
        kind = type(error).__name__
        raise ResultsError(
            f"{what} ({kind}: {reason})" if reason else f"{what} ({kind})", where=str(path), hint=_HINT
        ) from error


def check_timing(record: TimingRecord) -> None:
    """Check what the summaries of a timing rely on.

    Raises
    ------
    ValueError
        A time is not positive, or the rounds do not fit the samples.
    """
    if not record.samples:
        raise ValueError("it has no samples")
    if not all(math.isfinite(at) and 0 < ms < math.inf for at, ms in [*record.samples, *record.warmup]):
        raise ValueError("a time is not positive")
    if not record.rounds:
        return
    if any(turn.calls < 1 or turn.process < 0 or min(turn.anchor_ms) <= 0 for turn in record.rounds):
        raise ValueError("a round has no calls, or a time of the anchor that is not positive")
    if sum(turn.calls for turn in record.rounds) != len(record.samples):
        raise ValueError("the rounds have another number of calls than there are samples")


def check_measurement(measurement: Measurement) -> None:
    """Check what the rest of a run relies on in a stored measurement.

    Raises
    ------
    ValueError
        It contradicts itself.
    """
    if measurement.timing is not None:
        check_timing(measurement.timing)
    # Entries demand the same, see `schema.Entry`; here it is found before the row is made.
    if (measurement.status == "ok") != (measurement.error is None):
        raise ValueError(f"its status is {measurement.status}, and it has {'an' if measurement.error else 'no'} error")
    names = [image.image for image in measurement.images]
    if len(set(names)) != len(names):
        raise ValueError("it has an image twice")
    conventions = {frozenset(image.conventions) for image in measurement.images}
    if len(conventions) > 1:
        raise ValueError("its images have different conventions")


def check_run(run: Run) -> None:
    """Check what the report relies on in a stored run.

    Raises
    ------
    ValueError
        It contradicts itself.
    """
    slugs = [entry.slug for entry in run.entries if entry.slug]
    if len(set(slugs)) != len(slugs):
        raise ValueError("two rows have one slug")
