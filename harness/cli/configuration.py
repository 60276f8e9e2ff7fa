"""The commands around a run: show its settings, and write an example to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from harness.cli.application import EXIT_SOME_FAILED, command, existing_run, out
from harness.cli.options import Json
from harness.cli.settings_file import FILE_NAME, read_settings
from harness.text import pluralized

# Names of click's parameter sources, and what the table calls them.
_ORIGINS = {"COMMANDLINE": "typed", "DEFAULT_MAP": FILE_NAME, "ENVIRONMENT": "environment"}


@command
def example(
    folder: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet.", show_default=False)],
) -> None:
    """Write the networks that come with the harness, and settings to run them, into a new folder."""
    from harness.submissions.example import write_example

    count = write_example(folder)
    out.print(f"wrote {pluralized(count, 'network')} and {FILE_NAME}", highlight=False)
    out.print(f"next: cd {shlex.quote(str(folder))} && harness run", highlight=False, soft_wrap=True)


@command
def config(ctx: typer.Context) -> None:
    """Show the settings that `harness run` would have here, with the same options, and where each comes from."""
    group: Any = ctx.parent
    run = group.command.get_command(group, "run")
    # `apply_settings` does this for `run` only: here the command that was invoked is `config`.
    settings = read_settings(run, group)
    # As `apply_settings` does, so that the origin of each value can be told.
    group.default_map = {"run": settings}
    for parameter in run.params:
        parameter.required = False  # there may be no submissions yet
    # The command `run` is parsed and not executed, to learn the value and the origin of each parameter.
    inner = run.make_context("run", list(ctx.args), parent=group)
    table = Table("setting", "value", "from")
    for parameter in run.params:
        if parameter.name == "help" or "--help" in parameter.opts:
            continue
        source = inner.get_parameter_source(parameter.name)
        origin = _ORIGINS.get(getattr(source, "name", ""), "default")
        name = parameter.opts[0] if parameter.opts[0].startswith("--") else parameter.name
        table.add_row(name.removeprefix("--"), _text(inner.params.get(parameter.name)), origin)
    out.print(table)


def _text(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    # As TOML writes them.
    return {"True": "true", "False": "false"}.get(str(value), str(value))


@command
def choose(
    run_folder: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    fps: Annotated[float | None, typer.Option(min=0, help="At least so many frames per second.")] = None,
    memory: Annotated[float | None, typer.Option(min=0, help="At most so many megabytes (10^6 bytes).")] = None,
    params: Annotated[float | None, typer.Option(min=0, help="At most so many thousands of parameters.")] = None,
    energy: Annotated[float | None, typer.Option(min=0, help="At most so many joules per frame.")] = None,
    by: Annotated[str, typer.Option(help="Column by which the best is chosen, such as psnr_y or score.")] = "psnr_rgb",
    baselines: Annotated[bool, typer.Option("--baselines", help="Interpolations are candidates, too.")] = False,
    as_json: Json = False,
) -> None:
    """Choose a network for given limits: which fit, which is best, and what one step faster costs."""
    from harness.analysis.choose import Limits
    from harness.analysis.choose import choose as choose_network
    from harness.cli.choices import print_choice
    from harness.report import load_run

    limits = Limits(fps, memory, params, energy, baselines)
    choice = choose_network(load_run(existing_run(run_folder)), limits, by)
    if as_json:
        from harness.cli.json_forms import choose_output

        typer.echo(choose_output(choice).model_dump_json(indent=1))
    else:
        print_choice(choice)
    if choice.best is None:
        raise typer.Exit(EXIT_SOME_FAILED)
