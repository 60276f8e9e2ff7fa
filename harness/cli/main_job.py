"""``harness run``: the main job."""

from __future__ import annotations

import enum
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from harness.cli.application import EXIT_INTERRUPTED, EXIT_SOME_FAILED, command, err, out


class PrecisionOption(enum.StrEnum):
    """In which precision the networks run."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


class LaneOption(enum.StrEnum):
    """How the networks are executed."""

    eager = "eager"
    channels_last = "channels_last"
    compile = "compile"
    cuda_graph = "cuda-graph"
    onnxruntime = "onnxruntime"
    tensorrt = "tensorrt"


class ImagesOption(enum.StrEnum):
    """Which pictures a run keeps."""

    auto = "auto"
    none = "none"
    crops = "crops"
    full = "full"


class SandboxOption(enum.StrEnum):
    """How a submission's process is confined."""

    auto = "auto"
    bwrap = "bwrap"
    process = "process"
    none = "none"


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
    lane: Annotated[LaneOption, typer.Option(help="How networks are executed; never mixed.")] = LaneOption.eager,
    protocol: Annotated[
        str | None, typer.Option(help="How time is measured: robust, ntire23, ntire23-cpu, esr. [default: robust]")
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option(help="Seconds of timing per model. [default: the protocol's]")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which a stage of a submission counts as hung.")] = 600.0,
    sandbox: Annotated[SandboxOption, typer.Option(help="How submissions are confined.")] = SandboxOption.auto,
    install: Annotated[
        bool, typer.Option("--install", help="Install what submissions require, each set in an environment of its own.")
    ] = False,
    wheels: Annotated[
        Path | None, typer.Option(help="Folder of wheels to install from, instead of the index. [default: none]")
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Execute the code in checkpoints; only in the bubblewrap sandbox.")
    ] = False,
    engine: Annotated[str, typer.Option(help="Where workers run: local, or an installed package's engine.")] = "local",
    images: Annotated[
        ImagesOption,
        typer.Option(help="Keep crops, or all images in full. auto: crops of the embedded data set only."),
    ] = ImagesOption.auto,
    crop: Annotated[
        list[str] | None, typer.Option(help="A square to keep, IMAGE:X,Y,SIZE in HR pixels; repeatable.")
    ] = None,
    save_images: Annotated[
        bool, typer.Option("--save-images", help="Keep every upscaled image, as images/NAME/*.png in the run's folder.")
    ] = False,
    convention: Annotated[
        list[str] | None,
        typer.Option(help="Measure quality by another convention too, such as matlab or lrsrn; repeatable."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure everything again.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Measure failed submissions again.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any submission failed.")] = False,
) -> None:
    """Measure, score and rank submissions, and write the leaderboard."""
    from harness.engines import get_engine
    from harness.pipeline import run as run_pipeline
    from harness.plan import RunRequest
    from harness.results.crops import parse_choice
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
        lane=lane.value,
        protocol=protocol,
        time_budget_s=time_budget,
        timeout_s=timeout,
        sandbox=sandbox.value,
        install=install,
        wheels=wheels,
        trust_pickle=trust_pickle,
        images=images.value,
        crops=tuple(parse_choice(text) for text in crop or []),
        save_images=save_images,
        conventions=tuple(dict.fromkeys(convention or ())),
        fresh=fresh,
        retry_failed=retry_failed,
        command=shlex.join(["harness", *sys.argv[1:]]),
    )
    signal.signal(signal.SIGTERM, _interrupt)
    print_timing_warnings()
    with make_progress(err) as progress:
        finished = run_pipeline(request, progress, get_engine(engine))
    out.print(leaderboard_table(finished.run))
    for reason in reasons(finished.run):
        out.print(reason, markup=False, highlight=False)
    for warning in finished.run.warnings:
        out.print(f"warning: {warning}", markup=False, highlight=False)
    out.print(f"leaderboard: {finished.report}", highlight=False, soft_wrap=True)
    if not finished.run.run.complete:
        err.print("interrupted: the table holds what was measured; the same command goes on from here")
        raise typer.Exit(EXIT_INTERRUPTED)
    if strict and any(entry.status in {"failed", "disqualified"} for entry in finished.run.entries):
        raise typer.Exit(EXIT_SOME_FAILED)


def print_timing_warnings() -> None:
    """Say what of this machine makes times unreliable now: its load, its threads, its clocks."""
    from harness.timing.doctor import timing_facts

    for fact in timing_facts():
        if fact.level == "warn":
            err.print(f"times are unreliable here: {fact.name}: {fact.value}", highlight=False, markup=False)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Let a polite kill end a run as Ctrl-C does, with everything saved."""
    raise KeyboardInterrupt
