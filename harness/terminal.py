"""Progress and tables on the terminal: a live line where there is one to draw on, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from harness.contrast import Contrasts
from harness.observer import Observer
from harness.results import Entry, Measurement, Run

_STATUS_STYLE = {"ok": "green", "failed": "red", "disqualified": "red", "unsupported": "yellow"}
_CONTRAST_DIGITS = {"ssim_rgb": 5, "ssim_y": 5, "runtime": 2, "score": 2}
_QUIET_S = 10.0  # a log that says nothing for longer looks like a program that hangs


def describe_outcome(measurement: Measurement, *, reused: bool) -> str:
    """Return one line on how a submission ended."""
    if measurement.error is not None:
        return f"{measurement.status} at {measurement.error.stage}: {measurement.error.message.splitlines()[0]}"
    return "ok, unchanged since an earlier run" if reused else "ok"


class PlainProgress:
    """One line for each stage, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begin = time.monotonic()
        self._said = 0.0
        self._total = 0
        self._turn = 0
        self._turns: dict[str, int] = {}
        self._name = ""
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def run_begins(self, submissions: int, images: int) -> None:
        """Print how much there is to do."""
        self._total = submissions
        self._say(f"{submissions} networks on {images} images")

    def submission_begins(self, name: str) -> None:
        """Remember whose turn it is; it comes twice where networks are loaded first and timed together."""
        self._turn = self._turns.setdefault(name, len(self._turns) + 1)
        self._name = name
        self._stage = ""

    def stage(self, name: str, detail: str = "", *, done: float) -> None:
        """Print a stage when it begins, and how far it is every ten seconds."""
        if name != self._stage or time.monotonic() - self._said > _QUIET_S:
            self._stage = name
            self._say(f"[{self._turn}/{self._total}] {self._name}: {name} {detail} ({done:.0%})")

    def submission_ends(self, name: str, measurement: Measurement, *, reused: bool) -> None:
        """Print how it ended."""
        self._say(f"[{self._turn}/{self._total}] {name}: {describe_outcome(measurement, reused=reused)}")

    def run_ends(self) -> None:
        """Print nothing: the table follows."""

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        self._console.print(f"{time.monotonic() - self._begin:7.1f} s  {line}", markup=False, highlight=False)


class LiveProgress:
    """A bar with the submission, its stage, the time spent and an estimate of the time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._name = ""
        self._finished = 0
        self._total = 0
        self._measured = 0.0
        self._begin = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def run_begins(self, submissions: int, images: int) -> None:
        """Draw the bar."""
        self._total = submissions
        self._begin = time.monotonic()
        self._task = self._progress.add_task(f"{submissions} networks, {images} images", total=submissions, left="")

    def submission_begins(self, name: str) -> None:
        """Show whose turn it is."""
        self._name = name
        self._show("")

    def stage(self, name: str, detail: str = "", *, done: float) -> None:
        """Show the stage and move the bar by the share that is done."""
        self._show(f"{name} {detail}".strip(), done)

    def submission_ends(self, name: str, measurement: Measurement, *, reused: bool) -> None:
        """Print how it ended above the bar, which stays."""
        self._finished += 1
        self._measured += 0.0 if reused else 1.0
        style = _STATUS_STYLE[measurement.status]
        line = describe_outcome(measurement, reused=reused)
        self._progress.console.print(f"[{style}]{escape(name):<16}[/] {escape(line)}", highlight=False)
        self._show("")

    def run_ends(self) -> None:
        """Say that the table is being made."""
        if self._task is not None:
            self._progress.update(self._task, description="scoring and report", left="")

    def _show(self, stage: str, done: float = 0.0) -> None:
        if self._task is None:
            return
        description = f"[bold]{escape(self._name)}[/] {escape(stage)}"
        self._progress.update(
            self._task, description=description, completed=self._finished + done, left=self._left(done)
        )

    def _left(self, done: float) -> str:
        """Estimate the time left from the pace so far, which reused submissions do not count in."""
        pace = self._measured + done
        if pace < 1:
            return ""
        seconds = (time.monotonic() - self._begin) / pace * (self._total - self._finished - done)
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


class Forewarned:
    """Passes on what it hears, after a warning before the first stage: a run that measures nothing needs none.

    Parameters
    ----------
    listener
        Who wants to hear.
    warn
        Called once, when the first submission is about to be measured.
    """

    def __init__(self, listener: Observer, warn: Callable[[], None]) -> None:
        self._warn: Callable[[], None] | None = warn
        self._listener = listener
        self.run_begins = listener.run_begins
        self.submission_begins = listener.submission_begins
        self.submission_ends = listener.submission_ends
        self.run_ends = listener.run_ends

    def stage(self, name: str, detail: str = "", *, done: float) -> None:
        """Warn where that is still to be done, and pass the stage on."""
        if self._warn is not None:
            self._warn()
            self._warn = None
        self._listener.stage(name, detail, done=done)


def make_progress(console: Console) -> PlainProgress | LiveProgress:
    """Return what suits the console: a live bar on a terminal, plain lines elsewhere."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


def leaderboard_table(run: Run) -> Table:
    """Return the leaderboard as a table for the terminal."""
    title = f"{run.track.name} on {run.dataset.name} ({run.dataset.images} images), {run.device.name}"
    table = Table(
        title=title, caption=f"score: {run.track.score_formula}", title_justify="left", caption_justify="left"
    )
    for heading in ("#", "model"):
        table.add_column(heading, no_wrap=True)
    for heading in ("score", "PSNR", "Δ bicubic", "PSNR-Y", "SSIM", "ms", "fps", "params K", "MACs G"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in run.entries:
        table.add_row(*_cells(entry, run.protocol.statistic), style=None if entry.status == "ok" else "dim")
    return table


def contrast_table(found: Contrasts) -> Table:
    """Return two models' figures side by side, with their difference, its interval and its p-value."""
    first, second = found.names
    table = Table(
        title=f"{escape(first)} less {escape(second)}",
        caption="p: of no difference, each figure on its own; time in per cent of the second",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("", first, second, "difference", "95 % interval", "p", "from"):
        table.add_column(escape(heading), justify="left" if heading in {"", "from"} else "right", no_wrap=True)
    for row in found.rows:
        digits = _CONTRAST_DIGITS.get(row.figure, 3)
        unit = "%" if row.figure == "runtime" else row.unit
        change_digits = 1 if row.figure == "runtime" else digits
        low, high = row.difference.ci
        table.add_row(
            f"{row.figure} {row.unit}".strip(),
            _number(row.first, digits),
            _number(row.second, digits),
            f"{_number(row.difference.value, change_digits, sign=True)} {unit}".strip(),
            f"{_number(low, change_digits, sign=True)} to {_number(high, change_digits, sign=True)}",
            spelled_p_value(row.difference.p_value),
            escape(row.basis),
        )
    return table


def spelled_p_value(p_value: float) -> str:
    """Return a p-value in three digits, and in words where it is smaller."""
    return "< 0.001" if p_value < 0.001 else _number(p_value, 3)


def reasons(run: Run) -> list[str]:
    """Return one line for each row without a score, saying why."""
    return [
        f"{entry.name}: {entry.status} at {entry.error.stage}: {entry.error.message.splitlines()[0]}"
        for entry in run.entries
        if entry.error is not None
    ]


def _cells(entry: Entry, statistic: str) -> list[str]:
    runtime = entry.runtime_ms
    milliseconds = getattr(runtime, statistic) if runtime else None
    doubt = "" if runtime is None or runtime.stable else "~"
    label = f"[italic]{escape(entry.name)}[/]" if entry.kind == "baseline" else escape(entry.name)
    if entry.error is not None:
        label += f" [dim]{entry.status}[/]"
    return [
        str(entry.rank or ""),
        label,
        _number(entry.score, 2),
        _number(entry.psnr_rgb, 3),
        _number(entry.delta_psnr_bicubic, 3, sign=True),
        _number(entry.psnr_y, 3),
        _number(entry.ssim_rgb, 4),
        doubt + _number(milliseconds, 1),
        _number(entry.fps, 1),
        _number(None if entry.params is None else entry.params / 1e3, 1),
        _number(None if entry.macs is None else entry.macs / 1e9, 2),
    ]


def _number(value: float | None, digits: int, *, sign: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
