"""Convert a run's rows to a pandas table."""

from typing import TYPE_CHECKING, Any

from harness.results.schema import Entry, Run

if TYPE_CHECKING:
    import pandas as pd

# Fields of an entry that are records of their own, and fields that are pairs of numbers.
NESTED = ("error", "runtime_ms", "energy", "reparam", "published", "roofline")
INTERVALS = ("rank_range", "score_ci", "score_log10_ci", "runtime_ms_ci", "energy_ci")


def flat(entry: Entry) -> dict[str, Any]:
    """Flatten an entry; lists are joined to text, and intervals become two columns ``_low`` and ``_high``."""
    record: dict[str, Any] = {}
    # One level deep: records within records, such as the ceilings of a roofline, are left out.
    for key, value in entry.model_dump().items():
        if key in NESTED:
            inner = (value or {}).items()
            record |= {f"{key}_{name}": figure for name, figure in inner if not isinstance(figure, dict)}
        else:
            record[key] = value
    for key in INTERVALS:
        if key in record:  # None becomes two empty columns: a row without a score has the columns of the others
            record[f"{key}_low"], record[f"{key}_high"] = record.pop(key) or (None, None)
    return {key: "; ".join(map(_text, value)) if isinstance(value, list) else value for key, value in record.items()}


def _text(item: Any) -> str:
    """Return one item of a list; of a nested record its figures."""
    known = item.items() if isinstance(item, dict) else ()
    return ", ".join(f"{name} {figure}" for name, figure in known if figure is not None) or str(item)


def entries_frame(run: Run) -> "pd.DataFrame":
    """Return one row per entry, in the order of the run."""
    import pandas as pd

    return pd.DataFrame([flat(entry) for entry in run.entries])
