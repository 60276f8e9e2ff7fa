"""A run that is piped into a program that reads two lines is scored and saved as far as it came."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.output import Output, StopWithoutReader
from harness.cli.progress_display import PlainProgress
from harness.cli.text_console import TextConsole
from harness.engines.inline import InlineEngine
from harness.pipeline import run
from harness.run.plan import RunRequest


class ReaderOfLines(io.StringIO):
    """A pipe whose reader ends once it has seen a text."""

    def __init__(self, last: str) -> None:
        super().__init__()
        self.last = last

    def write(self, text: str) -> int:
        if self.last in self.getvalue():
            raise BrokenPipeError
        return super().write(text)


def test_what_was_measured_is_saved(
    submit: Callable[..., Path], request_for: Callable[..., RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit("a-first")
    submit("b-second", "x = x * 0.9")
    monkeypatch.setattr(sys, "stderr", ReaderOfLines("a-first: ok"))
    output = Output("stderr")
    with PlainProgress(TextConsole(file=output)) as progress:
        finished = run(request_for(), [progress, StopWithoutReader(output)], InlineEngine())
    assert not finished.run.run.complete
    assert [entry.name for entry in finished.run.entries] == ["a-first"]
    assert finished.report.is_file()
    assert run(request_for(), engine=InlineEngine()).run.run.complete
