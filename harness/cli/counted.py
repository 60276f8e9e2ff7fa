"""A progress bar for commands that process many images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.cli.application import err

Item = TypeVar("Item")


def counted(items: Iterable[Item], total: int | None, what: str) -> Iterator[Item]:
    """Yield the items and show their number in a progress bar on a terminal; `total` is None if unknown."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        yield from bar.track(items, total=total, description=what)
