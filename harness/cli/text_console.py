"""A console that prints text as it is. Names, paths and messages come from submissions, plug-ins and file systems."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from harness.text import printable


class TextConsole(Console):
    """Console without markup, emoji codes and highlighting, which removes control characters from strings.

    To style a part of a line, print a :class:`rich.text.Text`, made by :func:`styled` from text of unknown origin.

    Parameters
    ----------
    file
        Where to print.
    width
        Columns; those of the terminal by default.
    """

    def __init__(self, *, file: Any, width: int | None = None, **terminal: Any) -> None:
        super().__init__(file=file, width=width, markup=False, emoji=False, highlight=False, **terminal)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text, whatever it contains."""
        # The limit is the length, so that nothing is cut off.
        return super().render_str(printable(text, len(text)), **options)


def styled(text: str, style: str = "") -> Text:
    """Return text of unknown origin with a style, such as ``bold red``, without control characters."""
    return Text(printable(text, len(text)), style)
