"""The command-line interface. Each command parses its options, calls one function and prints the result."""

from harness.cli import (  # registers the commands, in the order that --help shows
    extensions,
    images,
    machine,
    main_job,
    models,
    reparameterization,
    results,
    tracks,
)
from harness.cli.application import app

__all__ = [
    "app",
    "extensions",
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
    """Run the command line."""
    app()
