"""``python -m harness``: the command line without an installed script."""

from harness.cli import command_line

command_line()
