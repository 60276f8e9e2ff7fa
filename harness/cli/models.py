"""Commands for single submissions: create one, check it against the contract, convert its checkpoint."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from harness.cli.application import EXIT_SOME_FAILED, command, err, existing, out
from harness.cli.findings import Checked, titled, without_archive_folder
from harness.cli.options import (
    AnalysisLimit,
    Device,
    Exclude,
    Install,
    Json,
    Only,
    ReparamChoice,
    SandboxChoice,
    SandboxOption,
    Timeout,
    TrustPickle,
    Wheels,
)
from harness.cli.text_console import styled
from harness.text import pluralized

_SILENCE_S = 4.5  # after which a stage is shown again; with a tick of the display it stays within 5 s
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
def init(
    repository: Annotated[Path, typer.Argument(help="Folder of a repository with checkpoints.", show_default=False)],
) -> None:
    """Write a manifest for a repository: which class belongs to which checkpoint. None of its code is executed."""
    from harness.submissions.manifest import SHARED_FILE_NAME
    from harness.submissions.proposal import write

    proposal = write(repository)
    undecided = f", {pluralized(proposal.undecided, 'line')} to decide" if proposal.undecided else ""
    models = pluralized(proposal.models, "model")
    place = shlex.quote(str(repository))
    out.print(
        f"{repository / SHARED_FILE_NAME}: {models}{undecided}. Try them with: harness check {place}",
        markup=False,
        highlight=False,
        soft_wrap=True,
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
    reparam: ReparamChoice = None,
    analysis_limit: AnalysisLimit = 30.0,
    fix: Annotated[bool, typer.Option("--fix", help="Write what was found out into the manifest.")] = False,
    only: Only = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Check submissions on small images as a run measures them, and report what is wrong and how to fix it."""
    from harness.cli.progress_display import make_progress
    from harness.run.checking import Check, CheckRequest, check_path

    request = CheckRequest(path, scale, device, timeout, sandbox.value, install, wheels, trust_pickle)
    request = replace(
        request,
        reparam=reparam.value if reparam else None,
        analysis_limit_s=analysis_limit,
        only=tuple(only or ()),
        exclude=tuple(exclude or ()),
    )
    # One entry for each title that is printed: equal failures at several scales are one entry.
    shown: list[Check] = []

    def show(checks: Sequence[Check]) -> None:
        # `progress` is set below, before the first call.
        # A live bar must be gone while the findings are printed to another stream.
        with progress.suspended():
            for title, one in titled(checks):
                shown.append(one)
                if not as_json:
                    _print_check(title, one)

    with make_progress(err, _SILENCE_S) as progress:
        check_path(request, [progress], on_checked=show)
    if as_json:
        from harness.cli.json_forms import check_output

        typer.echo(check_output(shown).model_dump_json(indent=1))
    if fix:
        _fix(path, shown)
    _print_skipped(path)
    passed = sum(one.passed for one in shown)
    err.print(f"{passed} of {len(shown)} passed", highlight=False)
    if passed < len(shown):
        raise typer.Exit(EXIT_SOME_FAILED)


def _print_skipped(path: Path) -> None:
    from harness.submissions.discovery import skipped_note

    line = skipped_note([path])
    if line:
        err.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_check(title: str, check: Checked) -> None:
    """Print the findings of one submission, and the end of its log if it failed."""
    out.print(title, style="bold")
    for finding in check.findings:
        mark = Text(f"{finding.level:<5}", _STYLES[finding.level])
        hint = styled(f" -> {finding.hint}" if finding.hint else "", "dim")
        what = styled(without_archive_folder(finding.what))
        out.print(Text.assemble("  ", mark, " ", what, hint), soft_wrap=True)
    for line in check.log.splitlines()[-_LOG_LINES:]:
        out.print(f"        {line}", style="dim", soft_wrap=True)


def _fix(path: Path, checks: Sequence[Checked]) -> None:
    """Write what checks found out into the manifest at a path, and print the lines."""
    from harness.submissions.corrections import correct, corrections_in

    said = {one.name: [f"{finding.what} {finding.hint}" for finding in one.findings] for one in checks}
    found = [correction for name, sentences in said.items() for correction in corrections_in(name, sentences)]
    for line in correct(path, found):
        out.print(f"wrote {line}", markup=False, highlight=False, soft_wrap=True)


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
