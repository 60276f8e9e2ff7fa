"""Shared by all commands: the application object, the consoles, and the conversion of errors to exit statuses."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec, TypeVar

import typer

from harness import __version__
from harness.cli.help_pages import OrderedGroup, epilog_of, panel_of
from harness.cli.many_values import MANY_VALUES, ManyValuesCommand
from harness.cli.output import Output
from harness.cli.settings_file import apply_settings
from harness.cli.streams import is_output_failure, replace_what_cannot_be_encoded
from harness.cli.text_console import TextConsole
from harness.errors import DataError, HarnessError, SubmissionError, UsageError

P = ParamSpec("P")
R = TypeVar("R")

# Part of the interface: scripts rely on them, see docs/commands.md.
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_BROKEN = 3
# 128 plus the number of SIGINT, as shells report it.
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="harness",
    help="Benchmark real-time image super-resolution networks, from a folder of submissions to a leaderboard.",
    cls=OrderedGroup,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
# For pipes rich assumes 80 columns, too few for the leaderboard.
_WIDTH = None if sys.stdout is not None and sys.stdout.isatty() else 120
standard_output, standard_error = Output("stdout"), Output("stderr")
out = TextConsole(file=standard_output, width=_WIDTH)
# Results go to standard output, everything about the work goes to standard error.
err = TextConsole(file=standard_error)


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Register a command. Errors are printed as one message and set the documented exit status."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        # Again for each command, because those who call one, such as tests, may replace the streams.
        replace_what_cannot_be_encoded()
        try:
            return function(*args, **kwargs)
        # What the user named is missing, damaged or of another kind. In runs, submissions that fail become rows.
        except (UsageError, DataError, SubmissionError) as error:
            _end(error, EXIT_USAGE)
        except HarnessError as error:  # stored results, a worker or a machine
            _end(error, EXIT_BROKEN)
        except KeyboardInterrupt as interrupt:
            err.print(": ".join(filter(None, ["interrupted", str(interrupt)])), highlight=False)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:  # what is printed without a console: nobody reads the rest, which is no error
            standard_output.discard()
            raise typer.Exit from None
        except Exception as error:
            if isinstance(error, OSError) and is_output_failure(error):
                raise  # reported by `harness.cli.main`
            err.print_exception()
            err.print("this is a bug in the harness: please report it with the lines above", highlight=False)
            raise typer.Exit(EXIT_BROKEN) from error

    # Functions may have an underscore at the end where Python or a module has the name already.
    name = function.__name__.strip("_").replace("_", "-")
    # `config` takes the options of `run`, which the parser would refuse otherwise.
    passes_arguments_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(
        name=name,
        cls=ManyValuesCommand if name in MANY_VALUES else None,
        rich_help_panel=panel_of(name),
        epilog=epilog_of(name),
        context_settings=passes_arguments_on if name == "config" else None,
    )(guarded)
    return guarded


def existing(path: Path) -> Path:
    """Return a path given on the command line; raise UsageError if it does not exist."""
    if not path.exists():
        raise UsageError("does not exist", where=str(path), hint="check the path")
    return path


def existing_run(path: Path) -> Path:
    """Return the folder of a run given on the command line; raise UsageError if it contains no results."""
    if not (path.is_file() or (path / "results.json").is_file()):
        hint = "give the folder of a finished run, which contains results.json"
        raise UsageError("there are no results here", where=str(path), hint=hint)
    return path


def writable_file(path: Path) -> Path:
    """Return the path of a file to write; raise UsageError if a folder is there, or a file in place of its folder."""
    if path.is_dir():
        raise UsageError("is a folder", where=str(path), hint="name a file")
    return writable_folder(path.parent) / path.name


def writable_folder(path: Path) -> Path:
    """Return the path of a folder to write into; raise UsageError if it, or one above, is a file or a broken link."""
    for part in (path, *path.parents):
        if part.is_symlink() and not part.exists():  # a disk or a share is not mounted
            raise UsageError(f"is a broken link to {part.readlink()}", where=str(part), hint="name another folder")
        if part.exists() and not part.is_dir():
            raise UsageError("is a file, where a folder is needed", where=str(part), hint="name another folder")
    return path


def _end(error: HarnessError, status: int) -> NoReturn:
    err.print("error:", style="bold red", end=" ")
    err.print(str(error), markup=False, highlight=False)
    raise typer.Exit(status) from error


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"harness {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmark real-time image super-resolution networks."""
    del version
    try:
        apply_settings(ctx)
    except UsageError as error:
        _end(error, EXIT_USAGE)
