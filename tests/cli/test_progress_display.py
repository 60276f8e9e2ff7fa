"""What a run prints while it goes on: lines in a pipe, a bar on a terminal, names as they are."""

import io
import os
import re
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from rich.console import Console

from harness.cli.progress_display import LiveProgress, PlainProgress, Ticker, describe_outcome, make_progress
from harness.results import ErrorInfo, Measurement
from harness.run.progress import Progress

OK = Measurement(fingerprint="f", created="2026-01-01T00:00:00+00:00", status="ok")
FAILED = OK.model_copy(
    update={"status": "failed", "error": ErrorInfo(stage="load", type="ValueError", message="no file\nof that name")}
)
TRICKY = "[bold]arch.py:100: :smile: [/nothing] 模型"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class PipedRun:
    """A run whose progress goes to a pipe; its time passes a second at a time, as its ticker sees it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.written = io.StringIO()
        self.plain = PlainProgress(Console(file=self.written), self.clock)
        self.progress = Progress([self.plain], self.clock)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.now += 1.0
            self.plain.repeat()

    @property
    def lines(self) -> list[str]:
        return self.written.getvalue().splitlines()

    @property
    def times(self) -> list[float]:
        return [float(line.split()[0]) for line in self.lines]


def test_a_stage_that_says_nothing_has_a_line_every_ten_seconds_with_the_time_left() -> None:
    piped = PipedRun()
    piped.progress.start([("a", "LRSRN"), ("b", "CRC")], 6, 8.0)
    piped.progress.stage("a", "count")
    piped.wait(35)
    piped.progress.stage("b", "start")
    assert all(later - earlier <= 10 for earlier, later in pairwise(piped.times))
    repeated = piped.lines[2:-1]
    assert len(repeated) == 3
    assert all(
        re.search(r"\[1/2\] LRSRN: count, \d+ s so far; \d+ % done, about \d+ s left$", line) for line in repeated
    )
    assert "[2/2] CRC: start; " in piped.lines[-1]


def test_a_stage_that_takes_longer_than_expected_does_not_shorten_the_rest() -> None:
    piped = PipedRun()
    piped.progress.start([("a", "a"), ("b", "b")], 6, 8.0)
    piped.progress.stage("a", "count")
    piped.wait(1000)
    (left,) = re.findall(r"about (\d+) s left", piped.lines[-1])
    assert int(left) > 15  # of the second network nothing is done


def test_interleaved_networks_have_one_line_for_each_process_and_one_every_ten_seconds() -> None:
    piped = PipedRun()
    piped.progress.start([("a", "LRSRN"), ("b", "CRC")], 6, 8.0)
    for step in range(200):
        piped.progress.timing("ab"[step % 2], step // 100, 3, step % 100 / 100)
        piped.clock.now += 0.2
        piped.plain.repeat()
    timed = piped.lines[1:]
    assert len(timed) == 2 * 2 + 4
    assert all(later - earlier <= 10 for earlier, later in pairwise(piped.times))
    assert "[1/2] LRSRN: time, process 1 of 3" in timed[0]
    assert "[2/2] CRC: time, process 1 of 3" in timed[1]
    assert sum("process 2 of 3" in line for line in timed) >= 2
    assert all(" % done, about " in line for line in timed)


def test_submissions_of_an_earlier_run_have_one_line_each() -> None:
    piped = PipedRun()
    slugs = [f"n{number}" for number in range(50)]
    piped.progress.start([(slug, slug) for slug in slugs], 6)
    for slug in slugs:
        piped.progress.finish(slug, OK, reused=True)
    piped.progress.end()
    assert len(piped.lines) == 1 + 50 + 1
    assert piped.lines[1].endswith("[1/50] n0: ok, unchanged since an earlier run")


def test_the_end_of_a_submission_is_printed_once() -> None:
    piped = PipedRun()
    piped.progress.start([("a", "a"), ("b", "b")], 6)
    piped.progress.finish("a", FAILED, reused=False)
    piped.wait(12)
    piped.progress.end()
    piped.wait(12)
    assert "[1/2] a: failed at load: no file; " in piped.lines[1]
    assert "after [1/2] a; 0 % done, about " in piped.lines[2]
    assert [line.split(" s  ")[1] for line in piped.lines[3:]] == ["scores and report"] * 2


def test_what_is_waited_for_is_printed_without_a_submission() -> None:
    piped = PipedRun()
    piped.progress.start([("a", "a")], 6)
    piped.progress.stage("", "wait", "for another run on this device")
    piped.wait(10)
    assert "s  wait for another run on this device, 9 s so far; 0 % done" in piped.lines[-1]


def test_the_lines_go_on_while_no_event_arrives() -> None:
    written = io.StringIO()
    with PlainProgress(Console(file=written), silence_s=0.05, tick_s=0.01) as plain:
        Progress([plain]).start([("a", "a")], 6)
        deadline = time.monotonic() + 60
        while written.getvalue().count("\n") < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    printed = written.getvalue().count("\n")
    assert printed >= 4
    time.sleep(0.1)
    assert written.getvalue().count("\n") == printed


@pytest.mark.parametrize("error", [BrokenPipeError("gone"), ValueError("I/O operation on closed file")])
def test_a_closed_pipe_ends_the_ticker_quietly(error: Exception) -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise error

    with Ticker(fail, 0.001) as ticker:
        ticker._thread.join(60)
    assert calls == [1]


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=160, height=40, color_system=None)


def drawn(live: LiveProgress) -> str:
    """Return the bar as it is drawn now."""
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(live._progress.get_renderable())
    return console.file.getvalue()


def test_the_bar_shows_the_network_at_work(terminal: Console) -> None:
    clock = Clock()
    with LiveProgress(terminal) as live:
        progress = Progress([live], clock)
        progress.start([("a", "LRSRN"), ("b", "CRC")], 6, 8.0)
        progress.stage("a", "load")
        progress.stage("b", "load")
        clock.now = 10.0
        progress.timing("a", 1, 3, 0.5)
        bar = drawn(live)
        assert "LRSRN time, process 2 of 3" in bar
        assert "CRC" not in bar
        assert re.search(r" \d+ %, 0/2 .* about \d+ s left", bar)
        progress.finish("a", OK, reused=False)
        assert "1/2" in drawn(live)
        progress.end()
        assert "scores and report" in drawn(live)
        assert "100 %" in drawn(live)
    assert re.search("LRSRN +ok", terminal.file.getvalue())


def test_names_are_printed_as_they_are_on_a_terminal(terminal: Console) -> None:
    with LiveProgress(terminal) as live:
        progress = Progress([live])
        progress.start([("a", TRICKY)], 6)
        progress.stage("a", "upscale", "[red]:100:[/red].png")
        bar = drawn(live)
        assert TRICKY in bar
        assert "[red]:100:[/red].png" in bar
        progress.finish("a", FAILED, reused=False)
    assert TRICKY in terminal.file.getvalue()


def test_names_are_printed_as_they_are_in_a_pipe() -> None:
    piped = PipedRun()
    piped.progress.start([("a", TRICKY)], 6)
    piped.progress.stage("a", "upscale", "[red]:100:[/red].png")
    piped.progress.finish("a", OK, reused=True)
    assert f"[1/1] {TRICKY}: upscale [red]:100:[/red].png; " in piped.lines[1]
    assert f"[1/1] {TRICKY}: ok" in piped.lines[2]


def test_a_long_name_leaves_room_for_the_time_left() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    with LiveProgress(console) as live:
        progress = Progress([live])
        progress.start([("a", "name" * 50)], 6)
        progress.stage("a", "upscale", "image" * 30)
        narrow = Console(file=io.StringIO(), width=80, color_system=None)
        narrow.print(live._progress.get_renderable())
        assert narrow.file.getvalue().count("\n") == 1
        assert re.search(r" about \d+ s left name", narrow.file.getvalue())


def test_a_terminal_gets_a_bar_and_a_pipe_gets_lines(terminal: Console) -> None:
    assert isinstance(make_progress(terminal), LiveProgress)
    assert isinstance(make_progress(Console(file=io.StringIO())), PlainProgress)


def test_an_outcome_is_one_line() -> None:
    assert describe_outcome(FAILED, reused=False) == "failed at load: no file"
    assert describe_outcome(OK, reused=False) == "ok"


PRINTING = """
import sys
from harness.cli.application import app, command, err, out

@command
def show() -> None:
    for console in (out, err):
        console.print("模型 :100: \\u0394")

app(["show"])
"""


@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", r"\u6a21\u578b :100: d"), ("utf-8", "模型 :100: \u0394")])
def test_an_encoding_without_a_character_gets_an_escape(encoding: str, shown: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", PRINTING], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).strip() == shown
    assert done.stderr.decode(encoding).strip() == shown


def test_a_failure_of_an_earlier_run_is_called_one() -> None:
    reused = describe_outcome(FAILED, reused=True)
    assert reused == f"{describe_outcome(FAILED, reused=False)} (in an earlier run; --retry-failed tries it again)"
    unsupported = FAILED.model_copy(update={"status": "unsupported"})  # which --retry-failed leaves alone
    assert describe_outcome(unsupported, reused=True) == describe_outcome(unsupported, reused=False)


def test_reading_large_data_sets_is_shown_before_the_first_event() -> None:
    piped = PipedRun()
    piped.wait(25)
    assert [line.split(" s  ")[1] for line in piped.lines] == ["reading the submissions and the images"] * 2
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    with LiveProgress(terminal):
        pass
    assert "reading the submissions and the images" in terminal.file.getvalue()


def test_one_network_is_counted_in_the_singular() -> None:
    piped = PipedRun()
    piped.progress.start([("a", "a")], 1)
    piped.progress.start([("a", "a"), ("b", "b")], 6)
    assert [line.split(" s  ")[1] for line in piped.lines] == ["1 network on 1 image", "2 networks on 6 images"]
