"""The figures of a row, each declared once for the page, the terminal, ``leaderboard.csv`` and the exports.

To show another field of `Entry`, add a `Column` to `COLUMNS`: every output loops over them. What belongs to one output
alone, such as the score's bar on the page, stays there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from harness.results.record import Statistic
from harness.results.schema import Entry, Published, Run

Output = Literal["page", "terminal", "csv", "export", "paper"]
"""``csv`` is ``leaderboard.csv``; ``export`` are the data exports (CSV, JSON), ``paper`` the tables for print."""
EVERYWHERE: frozenset[Output] = frozenset({"page", "terminal", "csv", "export", "paper"})
NOT_IN_PRINT: frozenset[Output] = EVERYWHERE - {"paper"}
MEASURES = ("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y")
"""The figures of quality that a run stores for every image."""
LOWER_BOUND = "\N{GREATER-THAN OR EQUAL TO}"
"""Mark of a figure that is only a lower bound."""

Value = Callable[[Entry, Statistic], float | None]


class Digits(NamedTuple):
    """How many decimals a column shows: enough for `significant` figures of its middle value, within limits."""

    least: int
    most: int
    significant: int = 3


_UP_TO_TWO = Digits(0, 2)
_UP_TO_THREE = Digits(0, 3)
_OF_SCORE = Digits(2, 6, 4)  # formulas of custom tracks may give very small scores
_CSV_ALONE: frozenset[Output] = frozenset({"csv"})
_PAGE_ALONE: frozenset[Output] = frozenset({"page"})


def _never(_entry: Entry) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a row.

    Attributes
    ----------
    name
        Column in ``leaderboard.csv``, which holds the value as it is.
    heading
        Title on the page and in exports.
    value
        ``value(entry, statistic)``: the figure in base units, or None; `statistic` is that of the runtime that the
        score uses.
    unit, scale
        Unit in which the figure is shown, and how many base units that is.
    key
        Name in exports, which show the scaled value; `name` if empty.
    digits
        Decimals on the page and in tables for print.
    terminal_heading, terminal_digits
        Heading and fewest decimals in the terminal's table; by default `heading` with `unit`, and ``digits.most``.
    better
        Which values are better; ``score``: as the track says. None marks no row as the best.
    signed
        Whether a positive figure is written with its sign.
    hint
        Explanation on the page, with the placeholders of `hint_of`.
    published
        The authors' own figure, in `unit`.
    lower_bound
        Whether a row's figure is only a lower bound: it is marked in every output and never marked as the best.
    of_score
        Whether the figure is the score, a part of it or a sum of ranks.
    doubtful
        Whether a row's figure rests on too little data: it is marked on the page and in the terminal.
    outputs
        Where the column is shown.
    optional
        Whether the column is left out of runs in which no row has a value.
    secondary
        Whether the page hides the column until a reader asks for it.
    """

    name: str
    heading: str
    value: Value
    unit: str = ""
    scale: float = 1.0
    key: str = ""
    digits: Digits = _UP_TO_TWO
    terminal_heading: str = ""
    terminal_digits: int | None = None
    better: Literal["high", "low", "score"] | None = None
    signed: bool = False
    hint: str = ""
    published: Callable[[Published], float | None] | None = None
    lower_bound: Callable[[Entry], bool] = _never
    of_score: bool = False
    doubtful: Callable[[Entry], bool] = _never
    outputs: frozenset[Output] = EVERYWHERE
    optional: bool = False
    secondary: bool = False

    def scaled(self, entry: Entry, statistic: Statistic) -> float | None:
        """Return the figure in `unit`, or None."""
        value = self.value(entry, statistic)
        # Not divided by 1, so that whole numbers stay integers.
        return value if value is None or self.scale == 1 else value / self.scale

    def exact(self, entry: Entry) -> bool:
        """Return whether a row's figure can be compared: it neither is a lower bound nor rests on one."""
        return not (self.lower_bound(entry) or (self.of_score and entry.partly_counted))

    def hint_of(self, run: Run) -> str:
        """Return the explanation, with the run's values in the places of their names in braces."""
        height, width = run.protocol.output_shape[2:]
        return self.hint.format(
            formula=run.track.score_formula,
            statistic=run.protocol.statistic,
            convention=f"by the convention {run.run.convention}",
            input="\N{MULTIPLICATION SIGN}".join(map(str, run.protocol.input_shape)),
            output=f"{width}\N{MULTIPLICATION SIGN}{height}",
        )

    def terminal_text(self, entry: Entry, statistic: Statistic, least: int = 0) -> str:
        """Return the figure as the terminal shows it, with its marks; empty where there is none.

        Parameters
        ----------
        entry
            The row.
        statistic
            That of the runtime.
        least
            Fewest decimals.
        """
        value = self.scaled(entry, statistic)
        if value is None:
            return ""
        digits = max(least, self.digits.most if self.terminal_digits is None else self.terminal_digits)
        mark = (LOWER_BOUND if self.lower_bound(entry) else "") + ("~" if self.doubtful(entry) else "")
        # A value that is rounded to zero has no sign.
        sign = "+" if self.signed and round(value, digits) else ""
        return f"{mark}{value:{sign}z.{digits}f}"


def shown_in(output: Output, run: Run) -> list[Column]:
    """Return the columns of an output for a run, in their order.

    Optional columns are left out if no row has a value. The parts of the score and the sums of ranks of the run's track
    follow the score.
    """
    columns: list[Column] = []
    for column in COLUMNS:
        columns.append(column)
        # Columns that depend on the run stand beside the declared ones that they belong to.
        if column.name == "score_log10":
            columns += _of_track(run)
        if column.name == "ssim_y":
            columns += _of_datasets(run)
    return [column for column in columns if output in column.outputs and _is_shown(column, run)]


def _is_shown(column: Column, run: Run) -> bool:
    statistic = run.protocol.statistic
    return not column.optional or any(column.value(entry, statistic) is not None for entry in run.entries)


def _of_track(run: Run) -> list[Column]:
    """Return the columns of partial scores and of sums of ranks that rows of the run have."""
    parts = dict.fromkeys(name for entry in run.entries for name in entry.partial_scores)
    sums = dict.fromkeys(name for entry in run.entries for name in entry.rank_sums)
    better: Literal["high", "low"] = "high" if run.track.higher_is_better else "low"
    return [
        *(
            Column(f"score_{name}", f"Score: {name}", _item("partial_scores", name), digits=_OF_SCORE,
                   terminal_digits=2, better=better, hint="Part of the score", of_score=True, outputs=NOT_IN_PRINT)
            for name in parts
        ),
        *(
            Column(f"ranks_{name}", f"Ranks: {name}", _item("rank_sums", name), digits=Digits(0, 0), better="low",
                   hint="Sum of ranks over several figures", of_score=True, outputs=NOT_IN_PRINT)
            for name in sums
        ),
    ]  # fmt: skip


def _of_datasets(run: Run) -> list[Column]:
    """Return the columns of quality on each data set, in a run with several."""
    columns = {column.name: column for column in COLUMNS if column.name in MEASURES}
    shown: frozenset[Output] = frozenset({"page", "csv", "export"})
    return [
        replace(
            columns[name],
            name=f"{name}_{one.label}",
            heading=f"{columns[name].heading}, {one.label}",
            value=_on_dataset(one.label, name),
            # Braces are doubled because `hint_of` formats the text.
            hint=f"On the data set {one.name}".replace("{", "{{").replace("}", "}}"),
            published=None,
            outputs=shown if name in (run.track.metric, "ssim_rgb") else shown - {"page"},
        )
        for one in run.datasets
        for name in MEASURES
    ]


def _on_dataset(label: str, measure: str) -> Value:
    def value(entry: Entry, _statistic: Statistic) -> float | None:
        quality = entry.datasets.get(label)
        return None if quality is None else float(getattr(quality, measure))

    return value


def _item(field: str, name: str) -> Value:
    def value(entry: Entry, _statistic: Statistic) -> float | None:
        found = getattr(entry, field).get(name)
        return None if found is None else float(found)

    return value


def lower_bounds(entry: Entry) -> str:
    """Return the names of a row's figures that are lower bounds, separated by blanks."""
    # Which statistic is asked for does not matter: only whether there is a value.
    return " ".join(c.name for c in COLUMNS if c.lower_bound(entry) and c.value(entry, "median") is not None)


def runtime_of(entry: Entry, statistic: Statistic) -> float | None:
    """Return the time of one forward pass in ms, by the statistic that the score uses."""
    if entry.runtime_ms is None:
        return None
    return entry.runtime_ms.mean if statistic == "mean" else entry.runtime_ms.median


def _field(name: str) -> Value:
    """Return the value of a field of `Entry`."""

    def value(entry: Entry, _statistic: Statistic) -> float | None:
        found: float | None = getattr(entry, name)
        return found

    return value


def _joules(entry: Entry, _statistic: Statistic) -> float | None:
    return None if entry.energy is None else entry.energy.joules


def _unstable(entry: Entry) -> bool:
    return entry.runtime_ms is not None and not entry.runtime_ms.stable


def _p95(entry: Entry, _statistic: Statistic) -> float | None:
    return None if entry.runtime_ms is None or not entry.runtime_ms.is_measured else entry.runtime_ms.p95


def _partly_counted(entry: Entry) -> bool:
    return bool(entry.incomplete_ops)


def _published_psnr(paper: Published) -> float | None:
    return paper.psnr_test if paper.psnr_test is not None else paper.psnr_val


COLUMNS: tuple[Column, ...] = (
    Column(
        "score", "Score", _field("score"), digits=_OF_SCORE, terminal_heading="score", terminal_digits=2,
        better="score", hint="score = {formula}", published=lambda paper: paper.score, of_score=True,
    ),
    Column(
        "score_log10", "log10 score", _field("score_log10"), digits=Digits(3, 3), terminal_digits=3, better="score",
        hint="Decimal logarithm of the score", of_score=True, optional=True,
    ),
    Column(
        "psnr_rgb", "PSNR RGB", _field("psnr_rgb"), "dB", digits=Digits(2, 2), terminal_heading="PSNR",
        terminal_digits=3, better="high", hint="Mean over images, by the controller", published=_published_psnr,
    ),
    Column(
        "psnr_y", "PSNR Y", _field("psnr_y"), "dB", digits=Digits(2, 2), terminal_heading="PSNR-Y", terminal_digits=3,
        better="high", hint="Luma, {convention}", outputs=NOT_IN_PRINT, secondary=True,
    ),
    Column(
        "ssim_rgb", "SSIM RGB", _field("ssim_rgb"), digits=Digits(4, 4), terminal_heading="SSIM", better="high",
        hint="Mean of the three channels",
    ),
    Column(
        "ssim_y", "SSIM Y", _field("ssim_y"), digits=Digits(4, 4), better="high", hint="Luma, {convention}",
        outputs=NOT_IN_PRINT - {"terminal"}, secondary=True,
    ),
    Column(
        "delta_psnr_bicubic", "Δ bicubic", _field("delta_psnr_bicubic"), "dB", digits=Digits(2, 2),
        terminal_heading="Δ bicubic", terminal_digits=3, better="high", signed=True,
        hint="The PSNR that is scored, minus bicubic's", outputs=NOT_IN_PRINT,
        secondary=True,
    ),
    Column(
        "runtime_ms", "Runtime", runtime_of, "ms", digits=_UP_TO_THREE, terminal_heading="ms", terminal_digits=1,
        better="low",
        hint="One forward pass at {output} output, {statistic}; measured in the submission's process",
        published=lambda paper: paper.runtime_ms, doubtful=_unstable,
    ),
    Column(
        "runtime_p95_ms", "p95", _p95, "ms", digits=_UP_TO_THREE, better="low",
        hint="95th percentile of the timed calls",
        doubtful=_unstable, outputs=_PAGE_ALONE, optional=True, secondary=True,
    ),
    Column(
        "fps", "Frames", _field("fps"), "fps", digits=Digits(0, 2, 4), terminal_heading="fps", terminal_digits=1,
        better="high", hint="1000 / runtime", outputs=NOT_IN_PRINT,
    ),
    Column(
        "energy_j", "Energy", _joules, "J", digits=Digits(1, 3), terminal_heading="J", terminal_digits=2, better="low",
        hint="Energy of one forward pass: whole card, or processor packages", outputs=NOT_IN_PRINT, optional=True,
    ),
    Column(
        "params", "Params", _field("params"), "K", 1e3, "params_k", Digits(2, 2), "params K", 1, "low",
        hint="Parameters of the form that was timed; who counted them is on the model's page",
        published=lambda paper: paper.params_k,
    ),
    Column(
        "macs", "MACs", _field("macs"), "G", 1e9, "macs_g", Digits(1, 4), "MACs G", 2, "low",
        hint="Multiply-accumulates at input {input}; who counted them is on the model's page",
        published=lambda paper: paper.macs_g, lower_bound=_partly_counted,
    ),
    Column("flops", "FLOPs", _field("flops"), lower_bound=_partly_counted, outputs=_CSV_ALONE),
    Column(
        "activations", "Activations", _field("activations"), "M", 1e6, digits=Digits(1, 4), better="low",
        hint="Elements in the outputs of convolutions and matrix products at input {input}",
        lower_bound=_partly_counted, outputs=_CSV_ALONE | _PAGE_ALONE, secondary=True,
    ),
    Column(
        "peak_memory_bytes", "Memory", _field("peak_memory_bytes"), "MiB", 2.0**20, better="low",
        hint="Peak memory of one forward pass at input {input}", outputs=_PAGE_ALONE, optional=True, secondary=True,
    ),
    Column(
        "size_bytes", "Weights", _field("size_bytes"), "KiB", 2.0**10, better="low",
        hint="Size of the file of weights as it was submitted", outputs=_PAGE_ALONE, optional=True, secondary=True,
    ),
)  # fmt: skip
"""In the order in which every output shows them."""
