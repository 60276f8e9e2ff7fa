"""``harness run``: the main job."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from harness.cli.application import (
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    command,
    err,
    out,
    standard_error,
    writable_folder,
)
from harness.cli.options import (
    Address,
    AnalysisLimit,
    BackendChoices,
    Conventions,
    Crops,
    DatasetNames,
    Device,
    EngineName,
    Exclude,
    Fresh,
    ImagesChoice,
    ImagesOption,
    Install,
    Json,
    Only,
    OutFolder,
    PrecisionChoice,
    Processes,
    Profile,
    ProtocolName,
    Recount,
    ReparamChoice,
    RetryFailed,
    SandboxChoice,
    SandboxOption,
    SaveImages,
    Scale,
    Strict,
    Submissions,
    Threads,
    TimeBudget,
    TimeOn,
    Timeout,
    TrackName,
    TrustPickle,
    VerifyGraph,
    Wheels,
    WithBaselines,
)
from harness.cli.settings_file import settings_of_file

if TYPE_CHECKING:  # it imports torch
    from harness.isolation.sandbox import Sandbox
    from harness.results import Run
    from harness.run.plan import RunRequest


@command
def run(
    ctx: typer.Context,
    submissions: Submissions,
    scale: Scale = None,
    track: TrackName = None,
    dataset: DatasetNames = None,
    out_folder: OutFolder = None,
    only: Only = None,
    exclude: Exclude = None,
    baselines: WithBaselines = True,
    device: Device = "auto",
    threads: Threads = None,
    precision: PrecisionChoice = None,
    backend: BackendChoices = None,
    protocol: ProtocolName = None,
    time_budget: TimeBudget = None,
    processes: Processes = None,
    timeout: Timeout = 600.0,
    sandbox: SandboxChoice = SandboxOption.auto,
    install: Install = False,
    wheels: Wheels = None,
    trust_pickle: TrustPickle = False,
    recount: Recount = False,
    verify_graph: VerifyGraph = False,
    reparam: ReparamChoice = None,
    analysis_limit: AnalysisLimit = 30.0,
    engine: EngineName = "local",
    address: Address = None,
    time_on: TimeOn = None,
    images: ImagesChoice = ImagesOption.auto,
    crop: Crops = None,
    save_images: SaveImages = False,
    convention: Conventions = None,
    fresh: Fresh = False,
    retry_failed: RetryFailed = False,
    strict: Strict = False,
    profile: Profile = False,
    as_json: Json = False,
) -> None:
    """Measure, score and rank submissions, and write the leaderboard."""
    # The first statement, so that the local variables are the options by name and nothing else.
    options = dict(locals())
    from harness.run.options import request_from

    # Settings of the file are appended as if they were typed, so that the stored command reproduces the run without it.
    request = replace(request_from(options), command=shlex.join(["harness", *sys.argv[1:], *settings_of_file(ctx)]))
    if request.out is not None:
        writable_folder(request.out)
    _carry_out(request, (engine, address), strict=strict, profile=profile, as_json=as_json)


def _carry_out(
    request: RunRequest, engine: tuple[str, str | None], *, strict: bool, profile: bool, as_json: bool
) -> None:
    """Run, print the table, the failures and the warnings, and exit with the status that the rows call for."""
    from harness.cli.backends import backends_table
    from harness.cli.output import StopWithoutReader, end_on_signals
    from harness.cli.profile import largest_parts, profile_table
    from harness.cli.progress_display import WarnBeforeMeasuring, make_progress
    from harness.cli.terminal import at_most, data_lines, leaderboard_table, reasons
    from harness.engines import connected, get_engine
    from harness.pipeline import run as run_pipeline
    from harness.results.ranks import why_no_rank

    end_on_signals()
    # Before the progress display starts, so that a mistake in the options is printed alone.
    reached = get_engine(*engine)
    if engine[0] == "local":  # others start workers elsewhere
        print_exposure(request.sandbox)
    with make_progress(err) as progress, connected(reached):
        # Before `progress` in the list, so that the warnings stand above the first stage.
        warn_first = WarnBeforeMeasuring(print_timing_warnings)
        # Progress is printed to standard error: without a reader there, nobody follows the run.
        watch_reader = StopWithoutReader(standard_error)
        finished = run_pipeline(request, [warn_first, progress, watch_reader], reached)
    if as_json:
        typer.echo(finished.run.model_dump_json(indent=1))
        err.print(f"leaderboard: {finished.report}", highlight=False, soft_wrap=True)
        return _end(finished.run, request, strict=strict)
    out.print(leaderboard_table(finished.run))
    if finished.run.backends:
        out.print(backends_table(finished.run))
    no_rank = why_no_rank(finished.run)
    lines = [*([] if no_rank is None else [no_rank]), *data_lines(finished.run), *reasons(finished.run)]
    for reason in lines:
        out.print(reason, markup=False, highlight=False)
    for disturbance in finished.run.disturbances or []:
        out.print(f"disturbed: {disturbance.sentence}", style="bold red", markup=False, highlight=False)
    for warning in at_most(finished.run.remarks):
        out.print(f"warning: {warning}", markup=False, highlight=False)
    if profile:
        out.print(profile_table(finished.run))
    out.print(largest_parts(finished.run), markup=False, highlight=False)
    out.print(f"leaderboard: {finished.report}", highlight=False, soft_wrap=True)
    return _end(finished.run, request, strict=strict)


def _end(run: Run, request: RunRequest, *, strict: bool) -> None:
    """Exit with the status that the rows call for."""
    # The status of an interruption comes before that of failed rows.
    if not run.run.complete:
        same = "the same command without --fresh" if request.fresh else "the same command"
        err.print(f"interrupted: the table holds what was measured; {same} goes on from here", highlight=False)
        raise typer.Exit(EXIT_INTERRUPTED)
    if strict and any(entry.status in {"failed", "disqualified"} for entry in run.entries):
        raise typer.Exit(EXIT_SOME_FAILED)


def print_timing_warnings() -> None:
    """Print what makes times unreliable on this machine now: its load, its threads, its clocks."""
    from harness.machine.timing_diagnostics import timing_diagnostics

    for diagnostic in timing_diagnostics():
        if diagnostic.level == "warn":
            warning = f"times are unreliable here: {diagnostic.name}: {diagnostic.value}"
            err.print(warning, highlight=False, markup=False)


def print_exposure(sandbox: Sandbox) -> None:
    """Print, in red, what the code of submissions can do to this machine because it is not confined."""
    from harness.isolation.exposure import exposure
    from harness.isolation.sandbox import choose

    for sentence in exposure(choose(sandbox)):
        err.print(f"warning: {sentence}", style="bold red", highlight=False, markup=False, soft_wrap=True)
