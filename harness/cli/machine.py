"""Commands on this machine: how long a network takes here, and what makes that unreliable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from harness.cli.application import EXIT_SOME_FAILED, command, err, out
from harness.cli.main_job import print_timing_warnings
from harness.cli.options import (
    Device,
    Install,
    LaneChoice,
    LaneOption,
    PrecisionChoice,
    Processes,
    ProtocolName,
    Scale,
    Threads,
    TimeBudget,
    Wheels,
)

if TYPE_CHECKING:  # it imports torch
    from harness.stopwatch import SubmissionTime


@command
def time(
    path: Annotated[Path, typer.Argument(help="A submission, a zip, or a folder of them.", show_default=False)],
    scale: Scale = None,
    protocol: ProtocolName = None,
    time_budget: TimeBudget = None,
    processes: Processes = None,
    precision: PrecisionChoice = None,
    lane: LaneChoice = LaneOption.eager,
    device: Device = "auto",
    threads: Threads = None,
    install: Install = False,
    wheels: Wheels = None,
) -> None:
    """Time submissions at 4K output and nothing else: no images are upscaled, nothing is kept."""
    from harness.plan import RunRequest
    from harness.stopwatch import time_submission
    from harness.terminal import make_progress

    request = RunRequest(
        (path,),
        scale=scale,
        protocol=protocol,
        time_budget_s=time_budget,
        processes=processes,
        precision=precision.value if precision else None,
        lane=lane.value,
        device=device,
        threads=threads,
        install=install,
        wheels=wheels,
    )
    print_timing_warnings()
    with make_progress(err) as progress:
        times = time_submission(request, progress)
    statistic = times.protocol.statistic
    table = Table("model", f"{statistic} ms", "95 % interval", "p95", "calls", "peak MB", "note")
    for row in times.rows:
        if row.runtime is None:
            table.add_row(escape(row.name), *[""] * 5, escape(row.error.message if row.error else ""))
            continue
        low, high = row.runtime.ci
        notes = [row.runtime.note or ("" if row.runtime.stable else "unstable")]
        notes += [f"built in {row.build_s:.1f} s"] if row.build_s is not None else []
        note = "; ".join(filter(None, notes))
        memory = "" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 1e6:.0f}"
        figures = (f"{getattr(row.runtime, statistic):.2f}", f"{low:.2f} to {high:.2f}", f"{row.runtime.p95:.2f}")
        table.add_row(escape(row.name), *figures, str(row.runtime.samples), memory, escape(note))
    out.print(table)
    cores = times.device.cores
    out.print(
        f"{times.device.name}, {times.protocol.name}, {times.protocol.precision}, {times.protocol.lane}, "
        f"{times.device.threads} thread(s)" + f" on cores {', '.join(map(str, cores))}" * bool(cores),
        highlight=False,
    )
    _print_rooflines(times.rows)
    if any(row.runtime is None for row in times.rows):
        raise typer.Exit(EXIT_SOME_FAILED)


def _print_rooflines(rows: Sequence[SubmissionTime]) -> None:
    """Print what each network moves and reaches, and what bounds it."""
    known = [(row, row.roofline) for row in rows if row.roofline is not None]
    if not known:
        return
    table = Table("model", "GMAC", "MB moved", "operators", "GMAC/s", "GB/s", "bound by")
    for row, roof in known:
        rates = (
            f"{roof.macs_per_s / 1e9:.3g} ({roof.compute_fraction:.0%})",
            f"{roof.bytes_per_s / 1e9:.3g} ({roof.memory_fraction:.0%})",
        )
        counts = (f"{(row.macs or 0) / 1e9:.3g}", f"{roof.bytes_moved / 1e6:.0f}", str(roof.operators))
        table.add_row(escape(row.name), *counts, *rates, roof.bound)
    out.print(table)
    best = known[0][1].ceilings
    out.print(
        f"ceilings here: {best.macs_per_s / 1e9:.3g} GMAC/s in a large matrix product or convolution, "
        f"{best.bytes_per_s / 1e9:.3g} GB/s in a large copy, {best.launch_s * 1e6:.2g} µs for a tiny operator",
        highlight=False,
    )


@command
def doctor() -> None:
    """Say what this machine offers for isolation, what disturbs timing here, and what to do about it."""
    from harness.device import describe_device
    from harness.isolation.doctor import sandbox_report
    from harness.timing.doctor import timing_facts

    device = describe_device("auto", None)
    out.print(f"{device.name}, {device.kind}, {device.threads} threads, torch {device.torch}", highlight=False)
    table = Table("", "what", "found", "what to do", title_justify="left")
    for fact in [*sandbox_report(), *timing_facts()]:
        mark = "[green]ok[/]" if fact.level == "ok" else f"[yellow]{fact.level}[/]"
        table.add_row(mark, escape(fact.name), escape(fact.value), escape(fact.mend))
    out.print(table)
