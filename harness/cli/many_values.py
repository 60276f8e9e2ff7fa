"""Options that take several values: ``--models LRSRN SESR`` means ``--models LRSRN --models SESR``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

MANY_VALUES: dict[str, tuple[str, ...]] = {"figure": ("--models", "--highlight", "--crops")}
"""Options with several values, by command."""


class ManyValuesCommand(TyperCommand):
    """A command with options that end at the next option, not after one value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        return super().parse_args(ctx, repeat_options(args, MANY_VALUES.get(self.name or "", ())))


def repeat_options(words: list[str], options: tuple[str, ...]) -> list[str]:
    """Return words of a command line with an option before each value that follows one of ``options``."""
    made: list[str] = []
    option, values = "", 0
    for at, word in enumerate(words):
        # Everything behind it is an argument, whatever it looks like.
        if word == "--":
            return [*made, *words[at:]]
        if word.startswith("-"):
            # In ``--models=A`` the first value is part of the word.
            name, equals, _ = word.partition("=")
            option, values = (name, len(equals)) if name in options else ("", 0)
        elif option:
            # The first value follows the option as typed; the option is repeated before each further one.
            made += [option] if values else []
            values += 1
        made.append(word)
    return made
