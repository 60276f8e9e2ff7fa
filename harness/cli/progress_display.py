"""Show the progress of a run: a live bar on a terminal, plain lines in pipes and log files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from harness.cli.text_console import styled
from harness.results import Measurement
from harness.results.progress import describe_stage, describe_time_left
from harness.run.progress import ProgressEvent, RunFinished, RunStarted, StageProgress, SubmissionFinished
from harness.text import pluralized

_STATUS_STYLE = {"ok": "green", "failed": "red", "disqualified": "red", "unsupported": "yellow"}
_BEFORE_START = "reading the submissions and the images"
_AFTER_MEASUREMENT = "scores and report"
SILENCE_S = 9.0
"""Seconds without a line after which plain output repeats what is going on. With a tick it stays below 10 s."""
_TICK_S = 0.5
MAX_REFUSED = 20
"""Number of submissions whose end is printed although no stage of them began; the others are counted."""


def describe_outcome(measurement: Measurement, *, reused: bool) -> str:
    """Return one line on how a submission ended."""
    if measurement.error is not None:
        outcome = f"{measurement.status} at {measurement.error.stage}: {measurement.error.first_line}"
        # Otherwise it would look as if it had been tried again, with the options of this run.
        is_old = reused and measurement.status in {"failed", "disqualified"}
        return f"{outcome} (in an earlier run; --retry-failed tries it again)" if is_old else outcome
    return "ok, unchanged since an earlier run" if reused else "ok"


class Ticker:
    """Call a function at regular intervals in a thread, while the context lasts.

    Parameters
    ----------
    action
        What is called.
    every_s
        Seconds between two calls.
    """

    def __init__(self, action: Callable[[], None], every_s: float) -> None:
        self._action = action
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Joined, so that the thread prints nothing after the context.
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._action()
            except (OSError, ValueError):  # a closed pipe or file: the run meets the same error at its next event
                return


class RefusalCounter:
    """Counts submissions that end before their first stage, such as those that cannot be read.

    Attributes
    ----------
    total
        Number of submissions in the run.
    """

    def __init__(self) -> None:
        self.total = 0
        self._begun: set[str] = set()
        self._refused = 0

    def is_too_many(self, event: ProgressEvent) -> bool:
        """Take over an event, and return whether it is such an end after :data:`MAX_REFUSED` others."""
        if isinstance(event, RunStarted):
            self.total = event.submissions
        if isinstance(event, StageProgress):
            self._begun.add(event.slug)
        if not isinstance(event, SubmissionFinished) or event.slug in self._begun:
            return False
        self._refused += event.measurement.error is not None
        return event.measurement.error is not None and self._refused > MAX_REFUSED

    def describe_rest(self) -> str:
        """Return in words how many ends were not printed; empty if all were."""
        rest = self._refused - MAX_REFUSED
        return f"{rest} more were not measured; the table says why" if rest > 0 else ""


class StageBoard:
    """What each submission and each place did last.

    Attributes
    ----------
    places
        What each place does, in a run with several.
    """

    def __init__(self) -> None:
        self.places: dict[str, StageProgress] = {}
        self._stages: dict[str, tuple[str, int]] = {}

    def is_news(self, event: ProgressEvent) -> bool:
        """Return whether a submission entered another stage. Interleaved networks alternate within the same stage."""
        if not isinstance(event, StageProgress):
            return True
        stage = (event.stage, event.process)
        is_news = self._stages.get(event.slug) != stage
        self._stages[event.slug] = stage
        return is_news

    def remember(self, event: ProgressEvent) -> None:
        """Note what a place does, and what it has ended."""
        if isinstance(event, StageProgress) and event.place:
            self.places[event.place] = event
        if isinstance(event, SubmissionFinished):
            self.places = {place: doing for place, doing in self.places.items() if doing.slug != event.slug}


class PlainProgress:
    """Listener that prints one line for each stage of a submission, and one whenever a stage lasts long.

    Within the context, a thread repeats what is going on after `silence_s` without a line, also while no event arrives.

    Parameters
    ----------
    console
        Where lines are printed.
    clock
        Seconds of a monotonic clock.
    silence_s
        Longest time without a line, seconds.
    tick_s
        Seconds between two looks at the clock.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        silence_s: float = SILENCE_S,
        tick_s: float = _TICK_S,
    ) -> None:
        self._console = console
        self._clock = clock
        self._silence_s = silence_s
        self._ticker = Ticker(self.repeat, tick_s)
        self._lock = threading.Lock()
        self._begin = self._printed = self._since = self._at = clock()
        self._current: ProgressEvent | None = None
        self._board = StageBoard()
        self._refusals = RefusalCounter()

    def __enter__(self) -> Self:
        self._ticker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticker.__exit__(kind, error, trace)

    def __call__(self, event: ProgressEvent) -> None:
        """Print the event if it is a new stage of its submission, and remember it otherwise."""
        with self._lock:
            self._remember(event)
            is_too_many = self._refusals.is_too_many(event)
            if isinstance(event, RunFinished) and (rest := self._refusals.describe_rest()):
                self._print(rest)
            # Networks that take turns send several events in a second: only a new stage, or silence, makes a line.
            if (self._board.is_news(event) and not is_too_many) or self._is_silent():
                self._print(self._describe())

    def suspended(self) -> AbstractContextManager[None]:
        """Return a context in which others print: there is nothing to remove."""
        return nullcontext()

    def repeat(self) -> None:
        """Print what is going on if nothing has been printed for long."""
        with self._lock:
            if self._is_silent():
                # Large data sets take minutes to read over a network, before the first event.
                self._print(_BEFORE_START if self._current is None else self._describe_wait())

    def _remember(self, event: ProgressEvent) -> None:
        now = self._clock()
        if not _is_same_stage(event, self._current):
            self._since = now
        self._current, self._at = event, now
        self._board.remember(event)

    def _is_silent(self) -> bool:
        return self._clock() - self._printed >= self._silence_s

    def _print(self, text: str) -> None:
        self._printed = self._clock()
        line = f"{self._printed - self._begin:7.1f} s  {text}"
        self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def _describe_wait(self) -> str:
        """Return what to print while no event arrives. The end of a submission is not repeated."""
        if isinstance(self._current, SubmissionFinished):
            last = f"[{self._current.number}/{self._refusals.total}] {self._current.name}"
            # The next submission has not reported a stage yet, so its name is not known here.
            return f"after {last}; {self._describe_rest(self._current)}"
        return self._describe_places() or self._describe()

    def _describe_places(self) -> str:
        """Return what each place does in a run with several; empty in a run with one."""
        events = [event for _, event in sorted(self._board.places.items())]
        if not events or not isinstance(self._current, StageProgress):
            return ""
        return "; ".join([*(f"{one.place}: {_work_of(one)}" for one in events), self._describe_rest(self._current)])

    def _describe(self) -> str:
        event = self._current
        if isinstance(event, RunStarted):
            return _describe_start(event)
        if isinstance(event, StageProgress):
            return "; ".join(filter(None, [self._describe_stage(event), self._describe_rest(event)]))
        if isinstance(event, SubmissionFinished):
            outcome = describe_outcome(event.measurement, reused=event.reused)
            line = f"[{event.number}/{self._refusals.total}] {event.name}: {outcome}"
            return line if event.reused else f"{line}; {self._describe_rest(event)}"
        return _AFTER_MEASUREMENT

    def _describe_stage(self, event: StageProgress) -> str:
        where = f"[{event.number}/{self._refusals.total}] {event.name}: " if event.slug else ""
        what = describe_stage(event.stage, event.detail, event.process, event.processes)
        what += f" on {event.place}" if event.place else ""
        spent_s = self._clock() - self._since
        return f"{where}{what}" + (f", {spent_s:.0f} s so far" if spent_s >= 1 else "")

    def _describe_rest(self, event: StageProgress | SubmissionFinished) -> str:
        """Return the share and the time left, which goes down while the stage takes no longer than expected."""
        left_s = event.seconds_left
        if left_s is not None and isinstance(event, StageProgress):
            # No event arrives during a long call. The count goes down meanwhile, but not beyond the estimate for this
            # stage: what comes after it takes as long as before.
            left_s -= min(self._clock() - self._at, event.stage_seconds_left or 0.0)
        return ", ".join(filter(None, [f"{int(100 * event.share)} % done", describe_time_left(left_s)]))


def _is_same_stage(event: ProgressEvent, other: ProgressEvent | None) -> bool:
    if not isinstance(event, StageProgress) or not isinstance(other, StageProgress):
        return False
    return (event.slug, event.stage, event.process) == (other.slug, other.stage, other.process)


def _work_of(event: StageProgress) -> str:
    return f"{event.name} {describe_stage(event.stage, event.detail, event.process, event.processes)}"


class CutColumn(TextColumn):
    """Column of text that is cut to one line where the terminal is narrow; other columns keep their width."""

    def render(self, task: Task) -> Text:
        """Return the text. It has no wrap and its column has, because rich narrows such columns first."""
        text = styled(super().render(task).plain, str(self.style))
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


class LiveProgress:
    """Listener that draws a bar on a terminal: the submission at work, its stage, the time spent and the time left."""

    def __init__(self, console: Console) -> None:
        # Names and stages are text columns without markup, so that nothing in a name is interpreted.
        self._progress = Progress(
            SpinnerColumn("line"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[counted]}", markup=False, table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False, table_column=Column(no_wrap=True)),
            CutColumn("{task.fields[submission]}", style="bold", markup=False, table_column=Column()),
            CutColumn("{task.description}", markup=False, table_column=Column()),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._places: dict[str, TaskID] = {}
        self._total = 0
        self._finished = 0
        self._refusals = RefusalCounter()

    def __enter__(self) -> Self:
        self._progress.start()
        self._show("", _BEFORE_START, 0.0, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Draw the event."""
        if isinstance(event, RunStarted):
            self._total = event.submissions
            if event.note:
                self._progress.console.print(Text(event.note))
            self._show("", _describe_start(event), 0.0, None)
        elif isinstance(event, StageProgress):
            self._refusals.is_too_many(event)
            what = describe_stage(event.stage, event.detail, event.process, event.processes)
            self._show("" if event.place else event.name, "" if event.place else what, event.share, event.seconds_left)
            if event.place:
                self._show_place(event)
        elif isinstance(event, SubmissionFinished):
            self._finished += 1
            if not self._refusals.is_too_many(event):
                self._print_outcome(event)
            self._show("", "", event.share, event.seconds_left)
        elif isinstance(event, RunFinished):
            if rest := self._refusals.describe_rest():
                self._progress.console.print(rest)
            self._show("", _AFTER_MEASUREMENT, 1.0, None)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Remove the bar while others print, to whichever stream."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def _print_outcome(self, event: SubmissionFinished) -> None:
        """Print how a submission ended above the bar, which stays at the bottom."""
        style = _STATUS_STYLE[event.measurement.status]
        outcome = describe_outcome(event.measurement, reused=event.reused)
        self._progress.console.print(Text.assemble(styled(f"{event.name:<16}", style), styled(f" {outcome}")))

    def _show(self, submission: str, stage: str, share: float, seconds_left: float | None) -> None:
        if self._task is None:
            self._task = self._progress.add_task("", total=1.0, submission="", counted="", left="")
        self._progress.update(
            self._task,
            description=stage,
            completed=share,
            submission=submission,
            counted=f"{int(100 * share)} %, {self._finished}/{self._total}" if self._total else "",
            left=describe_time_left(seconds_left),
        )

    def _show_place(self, event: StageProgress) -> None:
        """Draw a line for a place of a run with several."""
        if event.place not in self._places:
            self._places[event.place] = self._progress.add_task("", total=None, submission="", counted="", left="")
        self._progress.update(self._places[event.place], description=_work_of(event), submission=event.place)


def _describe_start(event: RunStarted) -> str:
    images = f" on {pluralized(event.images, 'image')}" if event.images else ""
    return f"{pluralized(event.submissions, 'network')}{images}" + (f"; {event.note}" if event.note else "")


class WarnBeforeMeasuring:
    """Listener that calls `warn` once, before the first submission is measured. A run without one needs no warning."""

    def __init__(self, warn: Callable[[], None]) -> None:
        self._warn = warn
        self._has_warned = False

    def __call__(self, event: ProgressEvent) -> None:
        """Warn if the event is the first stage of a submission."""
        if isinstance(event, StageProgress) and event.slug and not self._has_warned:
            self._has_warned = True
            self._warn()


def make_progress(console: Console, silence_s: float = SILENCE_S) -> PlainProgress | LiveProgress:
    """Return what suits the console: a live bar on a terminal, plain lines elsewhere, at least every `silence_s`."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console, silence_s=silence_s)
