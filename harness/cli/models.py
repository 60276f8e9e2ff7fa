"""Commands on single submissions: write one, check it against the contract, convert its checkpoint."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from harness.cli.application import EXIT_SOME_FAILED, command, err, existing, out

_MARKS = {"ok": "[green]ok[/]   ", "warn": "[yellow]warn[/] ", "error": "[red]error[/]"}


@command
def new(
    name: Annotated[str, typer.Argument(help="Name of the model.", show_default=False)],
    parent: Annotated[Path, typer.Option("--in", help="Folder in which the submission's folder is made.")] = Path(),
) -> None:
    """Write the skeleton of a submission, which runs as it stands."""
    from harness.submissions.skeleton import create

    folder = create(name, parent)
    out.print(
        f"{folder}: edit arch.py, then try: harness check {shlex.quote(str(folder))}", highlight=False, soft_wrap=True
    )


@command
def check(
    path: Annotated[
        Path, typer.Argument(help="A submission's folder, a zip, or a folder of them.", show_default=False)
    ],
    scale: Annotated[int | None, typer.Option(help="Check this scale only. [default: every declared scale]")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one submission may take.")] = 120.0,
    install: Annotated[bool, typer.Option("--install", help="Install what the submissions require.")] = False,
    wheels: Annotated[
        Path | None, typer.Option(help="Folder of wheels to install from, instead of the index. [default: none]")
    ] = None,
) -> None:
    """Try submissions against the contract on small inputs, and say what is wrong and how to mend it."""
    from harness.submissions.checking import check_path

    def tell(what: str) -> None:
        err.print(what, markup=False, highlight=False, soft_wrap=True)

    checks = check_path(path, scale=scale, timeout_s=timeout, install=install, wheels=wheels, tell=tell)
    for one in checks:
        title = one.name if one.scale is None else f"{one.name} x{one.scale}"
        out.print(f"[bold]{escape(title)}[/]", highlight=False)
        for finding in one.findings:
            hint = f" [dim]-> {escape(finding.hint)}[/]" if finding.hint else ""
            out.print(f"  {_MARKS[finding.level]} {escape(finding.what)}{hint}", highlight=False, soft_wrap=True)
    failed = [one for one in checks if not one.passed]
    err.print(f"{len(checks) - len(failed)} of {len(checks)} passed", highlight=False)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@command
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of any kind.", show_default=False)],
    output: Annotated[Path | None, typer.Argument(help="The safetensors file to write. [default: beside it]")] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Execute the code in the file: only if you know where it is from.")
    ] = False,
) -> None:
    """Convert a checkpoint to safetensors, which can hold nothing but tensors."""
    from harness.submissions.convert import convert as convert_checkpoint

    target = output or checkpoint.with_suffix(".safetensors")
    tensors = convert_checkpoint(existing(checkpoint), target, trust_pickle=trust_pickle)
    out.print(f"wrote {tensors} tensors to {target}", markup=False, highlight=False, soft_wrap=True)
