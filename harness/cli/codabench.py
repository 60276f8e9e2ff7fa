"""``harness codabench``: check a competition bundle, or run it on a submission."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from harness.cli.application import EXIT_SOME_FAILED, command, existing, out, writable_folder
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.codabench import LocalRun


@command
def codabench(
    action: Annotated[str, typer.Argument(help="check BUNDLE; run BUNDLE SUBMISSION.", show_default=False)],
    bundle: Annotated[Path, typer.Argument(help="Zip file of a competition.", show_default=False)],
    submission: Annotated[
        Path | None, typer.Argument(help="Folder or zip file of a submission.", show_default=False)
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for scores.json and detailed_results.html.")
    ] = Path("codabench-output"),
    phase: Annotated[
        str | None, typer.Option(help="Phase whose programs run. [default: the first that takes the submission]")
    ] = None,
) -> None:
    """Check a competition bundle by Codabench's rules, or run it on a submission in Codabench's folder layout."""
    if action == "check":
        return _check(existing(bundle))
    if action != "run":
        raise UsageError(f"there is no action {action!r}", hint="choose one of: check, run")
    if submission is None:
        raise UsageError("codabench run needs a submission", hint="harness codabench run BUNDLE SUBMISSION")
    from harness.codabench import run_bundle

    return _print_run(run_bundle(existing(bundle), existing(submission), writable_folder(output), phase))


def _check(bundle: Path) -> None:
    from harness.codabench import check_bundle

    findings = check_bundle(bundle)
    for one in findings:
        out.print(f"{one.level}: {one.where}: {one.message}", markup=False, highlight=False, soft_wrap=True)
    errors = sum(one.level == "error" for one in findings)
    out.print(f"{bundle}: {errors} errors, {len(findings) - errors} warnings", markup=False, highlight=False)
    if errors:
        raise typer.Exit(EXIT_SOME_FAILED)


def _print_run(done: LocalRun) -> None:
    """Print what Codabench would store, or what the programs said of a submission that failed."""
    if done.scores is None:
        # What an organiser would read in the log of the submission on the site.
        out.print(done.printed.strip(), markup=False, highlight=False, soft_wrap=True)
        out.print(
            f"phase {done.phase}: no score; details: {done.detail}", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(EXIT_SOME_FAILED)
    table = Table("column", "value")
    for key, value in done.scores.items():
        table.add_row(key, f"{value:.6g}")
    out.print(table)
    for key in done.ignored:
        out.print(f"warning: {key} has no column: Codabench drops it", markup=False, highlight=False)
    out.print(f"phase {done.phase}; details: {done.detail}", markup=False, highlight=False, soft_wrap=True)
