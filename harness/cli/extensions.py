"""The command that lists plug-ins."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from harness.cli.application import EXIT_SOME_FAILED, command, out
from harness.errors import UsageError


@command
def plugins() -> None:
    """List what installed packages add, from where, and whether it loads."""
    from harness.plugins import GROUPS, list_plugins, load_plugin

    table = Table("group", "name", "target", "package", "state")
    broken = False
    for group in GROUPS:
        for plugin in list_plugins(group):
            state = "listed"  # submitted code is executed in workers only, so it is not loaded here
            if group != "harness.submissions":
                try:
                    load_plugin(group, plugin.name)
                    state = "[green]loads[/]"
                except UsageError as error:
                    broken, state = True, f"[red]{escape(error.what)}[/]"
            table.add_row(*map(escape, (group, plugin.name, plugin.target, plugin.package)), state)
    out.print(table if table.row_count else "no installed package adds anything")
    if broken:
        raise typer.Exit(EXIT_SOME_FAILED)
