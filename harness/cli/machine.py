"""Commands for this machine: time networks, and report what affects isolation and timing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.application import EXIT_SOME_FAILED, command, err, out
from harness.cli.main_job import print_exposure, print_timing_warnings
from harness.cli.options import (
    BackendChoices,
    Device,
    Install,
    Json,
    PrecisionChoice,
    Processes,
    ProtocolName,
    SandboxChoice,
    SandboxOption,
    Scale,
    Threads,
    TimeBudget,
    Wheels,
)


@command
def time(
    paths: Annotated[
        list[Path], typer.Argument(help="Submissions, zips, or folders of them.", metavar="PATH...", show_default=False)
    ],
    scale: Scale = None,
    protocol: ProtocolName = None,
    time_budget: TimeBudget = None,
    processes: Processes = None,
    precision: PrecisionChoice = None,
    backend: BackendChoices = None,
    device: Device = "auto",
    threads: Threads = None,
    sandbox: SandboxChoice = SandboxOption.auto,
    install: Install = False,
    wheels: Wheels = None,
    as_json: Json = False,
) -> None:
    """Time submissions at 4K output only: no quality is measured and nothing is stored."""
    from harness.cli.output import end_on_signals
    from harness.cli.progress_display import make_progress
    from harness.cli.times import print_times
    from harness.run.plan import RunRequest
    from harness.run.time_only import time_submission

    # The first one is ranked in a run; here all are listed alike.
    first, *others = backend or ["eager"]
    request = RunRequest(
        tuple(paths),
        scale=scale,
        protocol=protocol,
        time_budget_s=time_budget,
        processes=processes,
        precision=precision.value if precision else None,
        backend=first,
        further_backends=tuple(others),
        device=device,
        threads=threads,
        sandbox=sandbox.value,
        install=install,
        wheels=wheels,
    )
    end_on_signals()
    print_exposure(request.sandbox)
    print_timing_warnings()
    with make_progress(err) as progress:
        times = time_submission(request, [progress])
    if as_json:
        from harness.cli.json_forms import time_output

        typer.echo(time_output(times).model_dump_json(indent=1))
    else:
        print_times(times)
    if any(row.runtime is None for row in times.rows):
        raise typer.Exit(EXIT_SOME_FAILED)


@command
def doctor(as_json: Json = False) -> None:
    """Report which isolation this machine supports, what affects timing, and how to fix it."""
    from harness.isolation.sandbox_diagnostics import sandbox_diagnostics
    from harness.machine.device import describe_device
    from harness.machine.timing_diagnostics import timing_diagnostics

    # The device that a run would take, with the default number of threads.
    device = describe_device("auto", None)
    diagnostics = [*sandbox_diagnostics(), *timing_diagnostics()]
    if as_json:
        from harness.cli.json_forms import doctor_output

        return typer.echo(doctor_output(device, diagnostics).model_dump_json(indent=1))
    versions = [f"torch {device.torch}", f"Python {device.python}", f"driver {device.driver}" if device.driver else ""]
    parts = [device.name, device.kind, f"{device.threads} threads", *filter(None, versions)]
    out.print(", ".join(parts), highlight=False)
    table = Table("", "what", "found", "what to do", title_justify="left")
    for diagnostic in diagnostics:
        mark = Text(diagnostic.level, "green" if diagnostic.level == "ok" else "yellow")
        table.add_row(mark, diagnostic.name, diagnostic.value, diagnostic.hint)
    return out.print(table)
