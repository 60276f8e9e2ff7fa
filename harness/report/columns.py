"""The columns of a run's leaderboard, as the page and the exports show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from harness.report.numbers import digits_for, fixed
from harness.results import columns as declared
from harness.results.columns import MEASURES, Digits, Output
from harness.results.record import Statistic
from harness.results.run_info import ProtocolInfo
from harness.results.schema import Entry, Run

_OF_A_MACHINE = {"runtime_ms", "score", "score_log10", "fps"}
"""Columns whose figures hold for one machine."""


@dataclass(frozen=True, slots=True)
class Column:
    """A declared column with what depends on the run: decimals, direction and explanation.

    ``same_images`` says whether the run's images are those of the challenge's test set.
    """

    declared: declared.Column
    statistic: Statistic
    digits: int
    better: Literal["high", "low"] | None
    hint: str
    same_images: bool = False

    @property
    def key(self) -> str:
        """Name in exports and in the page's markup."""
        return self.declared.key or self.declared.name

    @property
    def title(self) -> str:
        """Heading."""
        return self.declared.heading

    @property
    def unit(self) -> str:
        """Unit of all figures, or an empty string."""
        return self.declared.unit

    @property
    def secondary(self) -> bool:
        """Whether the page hides the column until a reader asks for it."""
        return self.declared.secondary

    def value(self, entry: Entry) -> float | None:
        """Return the figure in `unit`, or None."""
        return self.declared.scaled(entry, self.statistic)

    def lower_bound(self, entry: Entry) -> bool:
        """Return whether the figure is only a lower bound."""
        return self.value(entry) is not None and self.declared.lower_bound(entry)

    def exact(self, entry: Entry) -> bool:
        """Return whether the figure can be compared: it neither is a lower bound nor rests on one."""
        return self.declared.exact(entry)

    def doubtful(self, entry: Entry) -> bool:
        """Return whether the figure rests on too little data."""
        return self.declared.doubtful(entry)

    def text(self, entry: Entry) -> str:
        """Return the figure as shown, or an empty string where there is none."""
        value = self.value(entry)
        return "" if value is None else fixed(value, self.digits, self.declared.signed)

    def rounded(self, entry: Entry) -> float | None:
        """Return the figure to the digits that are shown, so that equal print means equal place."""
        value = self.value(entry)
        # `digits` is that of `text`.
        return None if value is None else round(value, self.digits)

    def published_text(self, entry: Entry) -> str:
        """Return the authors' figure as shown, or an empty string."""
        theirs = self._published_value(entry)
        return "" if theirs is None else fixed(theirs, 2)

    def difference_text(self, entry: Entry) -> str:
        """Return what was measured here minus the authors' figure: dB for a PSNR, per cent for sizes; or nothing.

        Times and scores of another machine are not compared, nor is the PSNR of other images.
        """
        theirs, ours = self._published_value(entry), self.value(entry)
        # Times depend on the device, and scores on times.
        if theirs is None or ours is None or self.key in _OF_A_MACHINE:
            return ""
        if self.lower_bound(entry):
            return ""  # the difference is unknown
        if self.unit == "dB":
            of_test_set = entry.published is not None and entry.published.psnr_test is not None
            if not (self.same_images and of_test_set):
                return ""  # images differ by more than networks do
            return f"{fixed(ours - theirs, 2, signed=True)} dB"
        return f"{fixed(100 * (ours / theirs - 1), 1, signed=True)} %" if theirs else ""

    def _published_value(self, entry: Entry) -> float | None:
        published = self.declared.published
        return published(entry.published) if published and entry.published else None


def runtime_of(entry: Entry, protocol: ProtocolInfo) -> float | None:
    """Return the time of one forward pass in ms, by the statistic that the score uses."""
    return declared.runtime_of(entry, protocol.statistic)


def score_text(entry: Entry, digits: int) -> str:
    """Return a score as shown outside of tables: ``12.85``, or ``10^312.35`` where the run stores its logarithm."""
    if entry.score is None:
        return ""
    return fixed(entry.score, digits) if entry.score_log10 is None else f"10^{fixed(entry.score_log10, digits)}"


def has_log_scores(entries: Iterable[Entry]) -> bool:
    """Return whether scores are known by their logarithms, as they may exceed the range of numbers."""
    return any(entry.score_log10 is not None for entry in entries)


def score_heading(entries: Iterable[Entry]) -> str:
    """Return what the figures of `Entry.ordered_score` are."""
    return "log10 score" if has_log_scores(entries) else "score"


def columns_of(run: Run, output: Output = "page") -> list[Column]:
    """Return the columns of an output, with decimals that suit the run's figures."""
    return [_of_run(column, run) for column in declared.shown_in(output, run)]


def score_column(run: Run) -> Column:
    """Return the column of the score; that of its logarithm where scores exceed the range of numbers."""
    columns = {column.key: column for column in columns_of(run)}
    return columns.get("score_log10") or columns["score"]


def measures() -> list[tuple[str, str, str, int]]:
    """Return key, title, unit and digits of the figures of quality that are stored for every image."""
    return [(c.name, c.heading, c.unit, c.digits.most) for c in declared.COLUMNS if c.name in MEASURES]


def convention_columns(run: Run) -> list[Column]:
    """Return the quality by further conventions, for exports: ``psnr_y_matlab`` and the like."""
    return [
        _of_run(_by_convention(column, name, sentence), run)
        for name, sentence in run.run.further_conventions.items()
        for column in declared.COLUMNS
        if column.name in MEASURES
    ]


def _by_convention(column: declared.Column, name: str, sentence: str) -> declared.Column:
    """Return a column of quality as another convention measures it."""
    return replace(
        column,
        name=f"{column.name}_{name}",
        heading=f"{column.heading}, {name}",
        value=partial(_convention_value, name, column.name),
        # `Column.hint_of` passes the hint through `str.format`.
        hint=sentence.replace("{", "{{").replace("}", "}}"),
        published=None,
    )


def _convention_value(name: str, measure: str, entry: Entry, _statistic: Statistic) -> float | None:
    figures = entry.conventions.get(name)
    return None if figures is None else float(getattr(figures, measure))


def _of_run(column: declared.Column, run: Run) -> Column:
    # Scores of some tracks are better if they are low, so the direction is the track's.
    statistic, better = run.protocol.statistic, column.better
    if better == "score":
        better = "high" if run.track.higher_is_better else "low"
    # Missing figures count as 0, which `digits_for` leaves out.
    values = [column.scaled(entry, statistic) or 0.0 for entry in run.entries]
    # The challenge's constant is used only if its data set is registered and bicubic reaches it there.
    same_images = run.track.bicubic_source == "published" and run.dataset.name.endswith("-test")
    return Column(column, statistic, _digits(column.digits, values), better, column.hint_of(run), same_images)


def _digits(digits: Digits, values: list[float]) -> int:
    return max(digits.least, digits_for(values, digits.significant, digits.most))
