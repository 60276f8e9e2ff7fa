"""A run whose output has nobody left to read it, or whose terminal is closed, ends with everything saved."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness.cli.output import Output, StopWithoutReader, end_on_signals
from harness.cli.text_console import TextConsole
from harness.run.progress import RunFinished


class Broken(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("fault", ["write", "flush"])
def test_a_run_is_interrupted_once_when_nobody_reads(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    stream = Broken()
    if fault == "flush":
        stream.write = lambda text: len(text)  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    output = Output("stderr")
    listener = StopWithoutReader(output)
    listener(RunFinished())
    TextConsole(file=output).print("a line")
    assert output.is_closed
    with pytest.raises(KeyboardInterrupt):
        listener(RunFinished())
    TextConsole(file=output).print("the table")
    listener(RunFinished())


def test_a_process_without_the_stream_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    output = Output("stderr")
    TextConsole(file=output, width=80).print("a line")
    assert not output.is_closed
    assert not output.isatty()


@pytest.fixture
def handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]  # the tests may run under nohup
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_once(handlers: None, number: int) -> None:
    end_on_signals()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    for again in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal sends more than one
        os.kill(os.getpid(), again)


def test_a_run_under_nohup_goes_on(handlers: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_on_signals()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize("command", ["schema", "export {run} --format csv"])
def test_a_command_whose_reader_has_gone_ends_quietly(root, command: str) -> None:
    words = command.format(run=root / "reports" / "sample").split()
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 0
