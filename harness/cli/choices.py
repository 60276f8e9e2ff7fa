"""Print which networks fit given limits."""

from __future__ import annotations

from rich.table import Table

from harness.analysis.choose import MEGABYTE, Candidate, Choice
from harness.cli.application import out
from harness.report.numbers import time_digits

_MAX_LEFT_OUT = 30


def print_choice(choice: Choice) -> None:
    """Print the candidates, the best of them, what one step faster costs, and why others are left out."""
    if choice.fitting:
        _print_table(choice)
        _print_steps(choice)
    else:
        out.print("no network fits")
    for entry, reason in choice.left_out[:_MAX_LEFT_OUT]:
        out.print(f"left out: {entry.name}: {reason}", soft_wrap=True)
    rest = len(choice.left_out) - _MAX_LEFT_OUT
    if rest > 0:
        out.print(f"left out: {rest} more; --json lists all")


def _print_table(choice: Choice) -> None:
    title = f"{choice.title} {choice.unit}".strip()
    table = Table("model", title, "ms", "fps", "peak MB", "note")
    for one in choice.fitting:
        memory = one.entry.peak_memory_bytes
        table.add_row(
            one.entry.name,
            _figure(one.value),
            _time(one.runtime_ms),
            f"{1000 / one.runtime_ms:.1f}",
            "" if memory is None else f"{memory / MEGABYTE:.0f}",
            _note(one),
        )
    out.print(table)


def _note(one: Candidate) -> str:
    notes = [] if one.in_front else ["another is at least as good and as fast"]
    notes += [] if one.surely else ["maybe too slow: see its interval"]
    return "; ".join(notes)


def _print_steps(choice: Choice) -> None:
    # Called only if a network fits, and then there is a best one.
    best = choice.best
    assert best is not None
    quality = f"{_figure(best.value)} {choice.unit}".rstrip()
    out.print(f"best: {best.entry.name}, {quality}, {_time(best.runtime_ms)} ms")
    for slower, faster in choice.steps():
        cost, saved = abs(slower.value - faster.value), slower.runtime_ms - faster.runtime_ms
        out.print(
            f"one step faster: {faster.entry.name} instead of {slower.entry.name} saves {_time(saved)} ms "
            f"({saved / slower.runtime_ms:.0%}) and costs {_figure(cost)} {choice.unit}".rstrip(),
            soft_wrap=True,
        )


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.{time_digits(milliseconds)}f}"


def _figure(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.4f}".rstrip("0").rstrip(".")
