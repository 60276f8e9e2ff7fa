"""Commands for single submissions: create one, check it against the contract, convert its checkpoint."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from harness.cli.application import EXIT_SOME_FAILED, command, err, existing, out
from harness.cli.findings import titled, without_archive_folder
from harness.cli.options import Device, Install, Json, SandboxChoice, SandboxOption, Timeout, TrustPickle, Wheels
from harness.cli.text_console import styled

_LOG_LINES = 12  # of a submission that failed
_STYLES = {"ok": "green", "warn": "yellow", "error": "red"}


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
    as_json: Json = False,
) -> None:
    """Check submissions on small images as a run measures them, and report what is wrong and how to fix it."""
    from harness.cli.progress_display import make_progress
    from harness.run.checking import CheckRequest, check_path

    request = CheckRequest(path, scale, device, timeout, sandbox.value, install, wheels, trust_pickle)
    with make_progress(err) as progress:
        checks = check_path(request, [progress])
    if as_json:
        from harness.cli.json_forms import check_output

        typer.echo(check_output(checks).model_dump_json(indent=1))
        raise typer.Exit(0 if all(one.passed for one in checks) else EXIT_SOME_FAILED)
    shown = titled(checks)
    for title, one in shown:
        out.print(title, style="bold")
        for finding in one.findings:
            mark = Text(f"{finding.level:<5}", _STYLES[finding.level])
            hint = styled(f" -> {finding.hint}" if finding.hint else "", "dim")
            what = styled(without_archive_folder(finding.what))
            out.print(Text.assemble("  ", mark, " ", what, hint), soft_wrap=True)
        for line in one.log.splitlines()[-_LOG_LINES:]:
            out.print(f"        {line}", style="dim", soft_wrap=True)
    failed = [one for _, one in shown if not one.passed]
    err.print(f"{len(shown) - len(failed)} of {len(shown)} passed", highlight=False)
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
