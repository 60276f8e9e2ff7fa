"""Settings of ``harness run`` in the file ``harness.toml`` of the current folder.

The table ``[run]`` holds options by their long names, with hyphens or underscores, and ``submissions`` for what is run.
What is typed takes precedence over the file, and the file over the defaults. Other tables describe a submission.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from harness.errors import UsageError
from harness.suggestions import choice

# As in `harness.submissions.manifest`, whose import would take longer than a command that prints its help.
FILE_NAME = "harness.toml"
TABLE = "run"
# Name of the positional argument of `harness run`.
_ARGUMENTS = "submissions"
_MOST_BYTES = 1 << 20


def apply_settings(ctx: typer.Context) -> None:
    """Let the settings of the file take the place of the defaults of ``harness run``.

    Parameters
    ----------
    ctx
        Context of the application, before the command's options are parsed.

    Raises
    ------
    UsageError
        The file is not TOML, or a setting is unknown or of a wrong type.
    """
    # `config` reads the settings itself, because it shows where each value comes from.
    if ctx.invoked_subcommand == "run":
        command: Any = ctx.command
        # As defaults, so that an option on the command line has precedence.
        ctx.default_map = {"run": read_settings(command.get_command(ctx, "run"), ctx)}


def read_settings(run: Any, ctx: typer.Context, folder: Path = Path()) -> dict[str, Any]:
    """Return the settings of the file in `folder`, by the names of the parameters of the command `run`.

    Raises
    ------
    UsageError
        The file is not TOML, or a setting is unknown or of a wrong type.
    """
    path = folder / FILE_NAME
    content = _parsed(path) if path.is_file() else {}
    table = content.get(TABLE, {})
    if not isinstance(table, Mapping):
        raise UsageError(f"{TABLE} is not a table", where=FILE_NAME, hint=f"write [{TABLE}] above the settings")
    parameters = _by_name(run)
    settings = {}
    for key, value in table.items():
        name = str(key).replace("_", "-")
        if name not in parameters:
            hint = choice(name, parameters)
            raise UsageError(f"there is no setting {key!r}", where=f"{FILE_NAME}: [{TABLE}]", hint=hint)
        # By the name of the parameter, which may differ from that of its option (`out_folder` and --out).
        settings[parameters[name].name] = _checked(parameters[name], key, value, ctx)
    # A file that describes models is a submission: its folder is what is run.
    if _ARGUMENTS not in settings and "model" in content:
        settings[_ARGUMENTS] = ["."]
    return settings


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError("is larger than 1 MiB", where=FILE_NAME, hint="it holds settings and models only")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # int() raises a plain ValueError for too many digits
        raise UsageError(f"cannot be read ({error})", where=FILE_NAME, hint="repair the file") from error


def _by_name(run: Any) -> dict[str, Any]:
    """Return the parameters of the command by the names that a file may use."""
    found = {}
    for parameter in run.params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                found[option.removeprefix("--")] = parameter
        if parameter.name == _ARGUMENTS:
            found[_ARGUMENTS] = parameter
    return found


def _checked(parameter: Any, key: str, value: object, ctx: typer.Context) -> object:
    """Return a value as the command takes it; a single one of a repeatable option becomes a list."""
    several = parameter.multiple or parameter.nargs == -1
    values = value if isinstance(value, list) else [value]
    is_flag = bool(getattr(parameter, "is_flag", False))
    # bool is a subclass of int: true must not pass as the number 1.
    fits = all(isinstance(one, bool) == is_flag and isinstance(one, bool | int | float | str) for one in values)
    if not fits or (isinstance(value, list) and not several):
        kind = "true or false" if is_flag else "values of one kind, or a list of them" if several else "one value"
        raise UsageError(f"{key} is {value!r}", where=f"{FILE_NAME}: [{TABLE}]", hint=f"give {kind}")
    # Typer parses text, so numbers of the file go through the same checks as typed ones.
    given = [one if is_flag else str(one) for one in values]
    try:
        # Checked here to name the file and the key; typer itself would name an option that nobody typed.
        parameter.process_value(ctx, given if several else given[0])
    except typer.BadParameter as error:
        raise UsageError(
            f"{key}: {error.message.rstrip('.')}", where=f"{FILE_NAME}: [{TABLE}]", hint="correct the value"
        ) from error
    return given if several else given[0]


def settings_of_file(ctx: typer.Context) -> list[str]:
    """Return the settings that the command has from the file, as one would type them: what reproduces a run."""
    parent: Any = ctx.parent
    settings = (getattr(parent, "default_map", None) or {}).get(TABLE, {})
    typed, arguments = [], []
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(str(parameter.name))
        # Typed on the command line, from the environment, or the default.
        if getattr(source, "name", "") != "DEFAULT_MAP":
            continue
        value = settings[parameter.name]
        values = value if isinstance(value, list) else [value]
        if parameter.name == _ARGUMENTS:
            arguments = [str(one) for one in values]
        elif isinstance(value, bool):
            # --fresh, or --no-baselines for a flag that is true by default; nothing for a flag without a negative form.
            typed += (parameter.opts if value else parameter.secondary_opts)[:1]
        else:
            typed += [text for one in values for text in (parameter.opts[0], str(one))]
    return [*arguments, *typed]
