"""Commands for single submissions: create one, check it against the contract, convert its checkpoint."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from harness.cli.application import EXIT_SOME_FAILED, command, err, existing, out
from harness.cli.options import Device, Install, SandboxChoice, SandboxOption, Timeout, TrustPickle, Wheels

_LOG_LINES = 12  # of a submission that failed
_MARKS = {"ok": "[green]ok[/]   ", "warn": "[yellow]warn[/] ", "error": "[red]error[/]"}


@command
def new(
    name: Annotated[str, typer.Argument(help="Name of the model.", show_default=False)],
    parent: Annotated[Path, typer.Option("--in", help="Folder in which to create the submission's folder.")] = Path(),
) -> None:
    """Create a minimal submission that runs."""
    from harness.submissions.skeleton import create

    folder = create(name, parent)
    out.print(
        f"{folder}: edit arch.py, then run: harness check {shlex.quote(str(folder))}", highlight=False, soft_wrap=True
    )


@command
def check(
    path: Annotated[
        Path, typer.Argument(help="A submission's folder, a zip, or a folder of them.", show_default=False)
    ],
    scale: Annotated[int | None, typer.Option(help="Check this scale only. [default: all declared scales]")] = None,
    timeout: Timeout = 120.0,
    device: Device = "auto",
    sandbox: SandboxChoice = SandboxOption.auto,
    install: Install = False,
    wheels: Wheels = None,
    trust_pickle: TrustPickle = False,
) -> None:
    """Check submissions on small images as a run measures them, and report what is wrong and how to fix it."""
    from harness.cli.progress_display import make_progress
    from harness.run.checking import CheckRequest, check_path

    request = CheckRequest(path, scale, device, timeout, sandbox.value, install, wheels, trust_pickle)
    with make_progress(err) as progress:
        checks = check_path(request, [progress])
    for one in checks:
        title = one.name if one.scale is None else f"{one.name} x{one.scale}"
        out.print(f"[bold]{escape(title)}[/]", highlight=False)
        for finding in one.findings:
            hint = f" [dim]-> {escape(finding.hint)}[/]" if finding.hint else ""
            out.print(f"  {_MARKS[finding.level]} {escape(finding.what)}{hint}", highlight=False, soft_wrap=True)
        for line in one.log.splitlines()[-_LOG_LINES:]:
            out.print(f"        {line}", style="dim", markup=False, highlight=False, soft_wrap=True)
    failed = [one for one in checks if not one.passed]
    err.print(f"{len(checks) - len(failed)} of {len(checks)} passed", highlight=False)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@command
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint to convert.", show_default=False)],
    output: Annotated[Path | None, typer.Argument(help="safetensors file to write. [default: next to it]")] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Execute code in the file; only if you trust its source.")
    ] = False,
) -> None:
    """Convert a checkpoint to safetensors, a format that cannot contain code."""
    from harness.submissions.convert import convert as convert_checkpoint

    target = output or checkpoint.with_suffix(".safetensors")
    tensors = convert_checkpoint(existing(checkpoint), target, trust_pickle=trust_pickle)
    out.print(f"wrote {tensors} tensors to {target}", markup=False, highlight=False, soft_wrap=True)
