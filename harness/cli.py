"""The commands. Each one reads its options, calls one function and shows what came of it."""

from __future__ import annotations

import enum
import functools
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console

from harness import __version__
from harness.errors import HarnessError, UsageError

P = ParamSpec("P")
R = TypeVar("R")

EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_BROKEN = 3
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="harness",
    help="Benchmark real-time image super-resolution networks, from a folder of submissions to a leaderboard.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
_WIDTH = None if sys.stdout.isatty() else 120  # a pipe has no width, and 80 columns are too few for the table
out = Console(width=_WIDTH)
err = Console(stderr=True)


class PrecisionOption(enum.StrEnum):
    """In which precision the networks run."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


class SandboxOption(enum.StrEnum):
    """How a submission's process is confined."""

    auto = "auto"
    bwrap = "bwrap"
    process = "process"
    none = "none"


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Register a command whose errors end as one message and the documented exit status."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except UsageError as error:
            _end(error, EXIT_USAGE)
        except HarnessError as error:
            _end(error, EXIT_BROKEN)
        except KeyboardInterrupt:
            err.print("interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from None

    app.command(name=function.__name__.strip("_").replace("_", "-"))(guarded)
    return guarded


def _end(error: HarnessError, status: int) -> NoReturn:
    err.print("[bold red]error:[/]", end=" ")
    err.print(str(error), markup=False, highlight=False)
    raise typer.Exit(status) from error


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"harness {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmark real-time image super-resolution networks."""


@command
def run(
    submissions: Annotated[
        list[Path],
        typer.Argument(help="Folders of submissions, single submissions or challenge zips.", show_default=False),
    ],
    scale: Annotated[int | None, typer.Option(help="Upscaling factor; chooses the track. [default: 2]")] = None,
    track: Annotated[str | None, typer.Option(help="Challenge whose rules apply, such as ntire23-x2.")] = None,
    dataset: Annotated[
        str, typer.Option(help="Name of a data set, or a folder of HR images or HR/ + LR/ pairs.")
    ] = "embedded",
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run. [default: reports/TRACK-DATASET]")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Run only submissions whose name matches this glob; repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out submissions that match this glob; repeatable.")
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Include bicubic and the other interpolations.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, or a torch device such as cuda:0.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of a network. [default: all cores]")] = None,
    precision: Annotated[
        PrecisionOption | None, typer.Option(help="For speed and quality alike. [default: the protocol's]")
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option(help="Seconds of timing per model. [default: the protocol's]")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which a stage of a submission counts as hung.")] = 600.0,
    sandbox: Annotated[SandboxOption, typer.Option(help="How submissions are confined.")] = SandboxOption.auto,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure everything again.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Measure failed submissions again.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any submission failed.")] = False,
) -> None:
    """Measure, score and rank submissions, and write the leaderboard."""
    from harness.pipeline import run as run_pipeline
    from harness.plan import RunRequest
    from harness.terminal import leaderboard_table, make_progress, reasons

    request = RunRequest(
        submissions=tuple(submissions),
        scale=scale,
        track=track,
        dataset=dataset,
        out=out_folder,
        only=tuple(only or ()),
        exclude=tuple(exclude or ()),
        with_baselines=baselines,
        device=device,
        threads=threads,
        precision=precision.value if precision else None,
        time_budget_s=time_budget,
        timeout_s=timeout,
        sandbox=sandbox.value,
        fresh=fresh,
        retry_failed=retry_failed,
        command=shlex.join(["harness", *sys.argv[1:]]),
    )
    signal.signal(signal.SIGTERM, _interrupt)
    with make_progress(err) as progress:
        finished = run_pipeline(request, progress)
    out.print(leaderboard_table(finished.run))
    for reason in reasons(finished.run):
        out.print(reason, markup=False, highlight=False)
    out.print(f"leaderboard: {finished.report}", highlight=False, soft_wrap=True)
    if not finished.run.run.complete:
        err.print("interrupted: the table holds what was measured; the same command goes on from here")
        raise typer.Exit(EXIT_INTERRUPTED)
    if strict and any(entry.status in {"failed", "disqualified"} for entry in finished.run.entries):
        raise typer.Exit(EXIT_SOME_FAILED)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Let a polite kill end a run as Ctrl-C does, with everything saved."""
    raise KeyboardInterrupt


@command
def score(
    psnr: Annotated[float, typer.Option(help="RGB PSNR, dB.")],
    runtime: Annotated[float, typer.Option(help="Runtime, milliseconds.")],
    track: Annotated[str, typer.Option(help="Challenge whose formula is used.")] = "ntire23-x2",
    bicubic: Annotated[
        float | None,
        typer.Option(help="RGB PSNR of bicubic on the same images, dB. [default: the challenge's test set]"),
    ] = None,
) -> None:
    """Print the score of one PSNR and one runtime."""
    from harness.tracks import get_track

    chosen = get_track(track)
    reference = next(iter(chosen.official_bicubic.values()), None) if bicubic is None else bicubic
    if reference is None:
        raise UsageError(
            f"track {track} has no published bicubic PSNR", mend="give the one of your images with --bicubic"
        )
    out.print(f"{chosen.score(psnr, runtime, reference):.2f}", highlight=False)
    err.print(f"{chosen.score_formula}, bicubic = {reference} dB", highlight=False)


@command
def report(
    run_folder: Annotated[
        Path, typer.Argument(help="Folder of a finished run, with its results.json.", show_default=False)
    ],
) -> None:
    """Rebuild the leaderboard of a run from its results, byte for byte."""
    from harness.report import build_report

    out.print(f"leaderboard: {build_report(run_folder)}", highlight=False, soft_wrap=True)


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
def schema() -> None:
    """Print the JSON Schema of results.json."""
    from harness.results.schema import json_schema

    out.print_json(data=json_schema())


def main() -> None:
    """Run the command line."""
    app()
