"""What an axis of a figure shows: a declared column, or any numeric column of the run's data frame."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from harness.errors import UsageError
from harness.report import caveats
from harness.report.columns import Column, columns_of, convention_columns
from harness.results.columns import Output
from harness.results.dataframe import flat
from harness.results.record import Interval
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry
from harness.suggestions import choice

# Short forms for the command line.
_SHORT = {
    "runtime": "runtime_ms",
    "p95": "runtime_p95_ms",
    "memory": "peak_memory_bytes",
    "energy": "energy_j",
}
# Parts of the names of figures that are lower bounds where operators could not be counted.
_COUNTED = ("macs", "flops", "activations")
_TIMED = ("runtime", "fps")
# Starts of the keys of figures whose values usually have one order of magnitude, for which a linear axis suffices.
_LINEAR = ("score", "psnr", "ssim", "delta", "rank")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A figure of each row.

    Attributes
    ----------
    key
        Name on the command line.
    title
        Label of an axis, with the unit.
    better
        Which values are better; None if unknown.
    figure
        Its value for an entry, or None.
    column
        The declared column; None for a column of the data frame.
    """

    key: str
    title: str
    better: Literal["high", "low"] | None
    figure: Callable[[Entry], float | None]
    column: Column | None = None

    def value(self, entry: Entry) -> float | None:
        """Return the figure of an entry, or None where there is no finite one."""
        value = self.figure(entry)
        return value if value is not None and isfinite(value) else None

    def lower_bound(self, entry: Entry) -> bool:
        """Return whether the figure is only a lower bound."""
        if self.column is not None:
            return self.column.lower_bound(entry)
        return bool(entry.incomplete_ops) and any(word in self.key for word in _COUNTED)

    def exact(self, entry: Entry) -> bool:
        """Return whether the figure can be compared: it neither is a lower bound nor rests on one."""
        return not self.lower_bound(entry) if self.column is None else self.column.exact(entry)

    def unsettled(self, entry: Entry) -> bool:
        """Return whether the figure rests on times that did not settle."""
        if self.column is not None:
            return caveats.is_unsettled(self.column, entry)
        return self.of_time and entry.runtime_ms is not None and not entry.runtime_ms.stable

    def interval(self, entry: Entry) -> Interval | None:
        """Return the 95 % interval of the figure, or None if it has none."""
        found = None if self.column is None else caveats.interval(self.column, entry)
        return found if found is not None and all(map(isfinite, found)) else None

    @property
    def of_time(self) -> bool:
        """Whether the figure is a time."""
        # A score may depend on the time, too.
        return self.key.startswith((*_TIMED, "score"))

    @property
    def spans_decades(self) -> bool:
        """Whether values of different order of magnitude are usual, as for times and sizes."""
        return not self.key.startswith(_LINEAR)


def quantity(folder: RunFolder, name: str) -> Quantity:
    """Return a quantity by its name.

    Parameters
    ----------
    folder
        A run.
    name
        Key of an export's column, a short form such as ``runtime``, or a numeric column of `RunFolder.to_frame`.

    Raises
    ------
    UsageError
        There is no such quantity, or no row has a value.
    """
    known = _quantities(folder)
    found = known.get(_SHORT.get(name, name))
    if found is None:
        raise UsageError(f"there is no column {name!r}", hint=choice(name, _listed(known), most=60))
    if all(found.value(entry) is None for entry in folder.run.entries if entry.status == "ok"):
        raise UsageError(f"no row of the run has a value of {name!r}", hint="choose another column")
    return found


def _quantities(folder: RunFolder) -> Mapping[str, Quantity]:
    # Some columns are shown in one of these only.
    outputs: tuple[Output, ...] = ("export", "page", "csv")
    columns = [column for output in outputs for column in columns_of(folder.run, output)]
    known: dict[str, Quantity] = {}
    for column in [*columns, *convention_columns(folder.run)]:
        title = f"{column.title}, {column.unit}" if column.unit else column.title
        made = Quantity(column.key, title, column.better, column.value, column)
        # The first one counts: a declared column has precedence over a field of the data frame.
        known.setdefault(column.key, made)
        known.setdefault(column.declared.name, made)
    for key in _numeric_keys(folder):
        # Fields of the data frame have no declared direction or unit.
        known.setdefault(key, Quantity(key, key, None, _field(key)))
    return known


def _listed(known: Mapping[str, Quantity]) -> list[str]:
    return [*(short for short, key in _SHORT.items() if key in known), *known]


def _numeric_keys(folder: RunFolder) -> list[str]:
    records = [flat(entry) for entry in folder.run.entries if entry.status == "ok"]
    return list(dict.fromkeys(key for record in records for key, value in record.items() if _is_number(value)))


def _is_number(value: object) -> bool:
    # bool is a subclass of int.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _field(key: str) -> Callable[[Entry], float | None]:
    def figure(entry: Entry) -> float | None:
        value = flat(entry).get(key)
        return float(value) if value is not None and _is_number(value) else None

    return figure
