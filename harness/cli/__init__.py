"""The command-line interface. Each command parses its options, calls one function and prints the result."""

import sys
from contextlib import suppress

from harness.cli import (  # registers the commands
    codabench,
    configuration,
    exports,
    extensions,
    figures,
    images,
    machine,
    main_job,
    models,
    reparameterization,
    results,
    tracks,
)
from harness.cli.application import EXIT_BROKEN, app, err
from harness.cli.quick_end import QuickEnd
from harness.cli.streams import give_up_output, is_output_failure, open_missing, replace_what_cannot_be_encoded

__all__ = [
    "app",
    "codabench",
    "command_line",
    "configuration",
    "exports",
    "extensions",
    "figures",
    "images",
    "machine",
    "main",
    "main_job",
    "models",
    "reparameterization",
    "results",
    "tracks",
]


def main() -> None:
    """Run the command line.

    Standard output that is closed is noted and otherwise ignored. Where it cannot be written, the command ends with a
    message and status 3.
    """
    # Before anything is printed: the interpreter sets a stream to None if it was started without one.
    if open_missing():
        err.print("warning: standard output is closed, nothing is printed there", highlight=False)
    replace_what_cannot_be_encoded()
    try:
        app()
    except OSError as error:
        # Commands turn errors of files into messages themselves, so any other OSError here is unexpected.
        if not is_output_failure(error):
            raise
        with suppress(OSError):
            err.print(f"error: the output cannot be written: {error.strerror}", markup=False, highlight=False)
        give_up_output()
        sys.exit(EXIT_BROKEN)
    # Streams are flushed here: a failure while the interpreter ends would replace the exit status by 120.
    except SystemExit:
        give_up_output()
        raise


def command_line() -> None:
    """Run the command line in a process of its own, which ends with it."""
    end = QuickEnd()
    try:
        main()
    except SystemExit as exit_:
        end.status = exit_.code if isinstance(exit_.code, int) else None
        raise
