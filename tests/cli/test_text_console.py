"""Nothing in a name, a path or a message is interpreted by the terminal's library or by the terminal."""

import io
import re
from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

from harness.cli import app
from harness.cli.terminal import leaderboard_table, reasons
from harness.cli.text_console import TextConsole, styled
from harness.results import Entry
from harness.results.run_folder import load_run
from harness.results.schema import ErrorInfo

TRICKY = "arch.py:100: [bold]x[/bold] [/nothing] :smile: \\[red]"
ESCAPE = "\x1b]0;title\x07\x1b[31mred"


@pytest.fixture
def console() -> TextConsole:
    return TextConsole(file=io.StringIO(), width=300, force_terminal=True, color_system=None)


def printed(console: TextConsole) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_strings_are_printed_as_they_are(console: TextConsole) -> None:
    table = Table(TRICKY, title=TRICKY, caption=TRICKY)
    table.add_row(TRICKY)
    table.add_row(styled(TRICKY, "red"))
    console.print(table)
    console.print(TRICKY)
    console.print(TRICKY, style="red", soft_wrap=True)
    assert printed(console).count(TRICKY) == 7


def test_escape_sequences_do_not_reach_the_terminal(console: TextConsole) -> None:
    table = Table("name")
    table.add_row(ESCAPE)
    console.print(table)
    console.print(ESCAPE)
    console.print(styled(ESCAPE, "bold"))
    assert "\x1b]" not in printed(console)
    assert "\x1b[31m" not in printed(console)
    assert printed(console).count("[31mred") == 3


def test_a_row_and_the_conditions_of_a_run(console: TextConsole, root: Path) -> None:
    run = load_run(root / "reports" / "sample").run
    error = ErrorInfo(stage="load", type="E", message=f"{TRICKY}\nsecond line")
    rows = [
        Entry(name=TRICKY, kind="baseline", status="ok", slug="a"),
        Entry(name=TRICKY, kind="submission", status="failed", slug="b", error=error),
    ]
    track = run.track.model_copy(update={"name": TRICKY, "score_formula": TRICKY})
    run = run.model_copy(update={"entries": rows, "track": track})
    console.print(leaderboard_table(run))
    for line in reasons(run):
        console.print(line)
    assert printed(console).count(TRICKY) == 6


def test_paths_in_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["report", "[red]:100:[/red]"])
    assert result.exit_code == 2
    assert "[red]:100:[/red]: there are no results here" in result.stderr


def test_the_commands_print_through_such_consoles_only(root: Path) -> None:
    for file in (root / "harness").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "rich.markup" not in text, f"{file}: strings are printed as they are, without markup"
        assert not re.search(r"(?<!Text)Console\((?!Console)", text) or file.name == "text_console.py", file
        for column in re.findall(r"TextColumn\([^\n]*", text):
            assert "TextColumn)" in column or "markup=False" in column, f"{file}: {column}"
