"""Print the results of ``harness time``: runtimes, their comparison, and rooflines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from harness.cli.application import out
from harness.cli.findings import without_archive_folder
from harness.cli.terminal import spelled_p_value
from harness.report.numbers import time_digits
from harness.results.columns import LOWER_BOUND
from harness.run.time_only import SubmissionTime, Times
from harness.statistics.compare_times import compare_times
from harness.statistics.process_spread import ProcessSpread


def print_times(times: Times) -> None:
    """Print all tables."""
    _print_runtimes(times)
    if times.caution:
        out.print(f"warning: {times.caution}", highlight=False)
    print_comparison(times.rows, times.spread)
    _print_rooflines(times.rows)


def _print_runtimes(times: Times) -> None:
    """Print the runtime and memory of each network, and the device."""
    statistic = times.protocol.statistic
    table = Table("model", f"{statistic} ms", "95 % interval", "p95", "calls", "peak MB", "note")
    for row in times.rows:
        if row.runtime is None:
            table.add_row(row.name, *[""] * 5, without_archive_folder(row.error.message) if row.error else "")
            continue
        low, high = row.runtime.ci
        notes = ["" if row.runtime.stable else "unstable", row.runtime.note or ""]
        notes += [f"built in {row.build_s:.1f} s"] if row.build_s is not None else []
        note = "; ".join(filter(None, notes))
        memory = "" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 1e6:.0f}"
        # A single call has no spread from which an interval could be estimated.
        value = getattr(row.runtime, statistic)
        digits = time_digits(value)
        interval = f"{low:.{digits}f} to {high:.{digits}f}" if row.runtime.samples > 1 else "unknown"
        figures = (f"{value:.{digits}f}", interval, f"{row.runtime.p95:.{digits}f}")
        table.add_row(row.name, *figures, str(row.runtime.samples), memory, note)
    out.print(table)
    cores = times.device.cores
    backends = ", ".join([times.protocol.backend, *times.protocol.further_backends])
    out.print(
        f"{times.device.name}, {times.protocol.name}, {times.protocol.precision}, {backends}, "
        f"{times.device.threads} thread(s)" + f" on cores {', '.join(map(str, cores))}" * bool(cores),
        highlight=False,
    )


def print_comparison(rows: Sequence[SubmissionTime], spread: ProcessSpread) -> None:
    """Print the runtime ratio of each network to the fastest one, for networks that were timed in the same rounds."""
    timed = [(row.name, row.timing, row.runtime) for row in rows if row.timing and row.runtime]
    # Only times of rounds can be compared round by round.
    interleaved = sorted((one for one in timed if one[1].rounds), key=lambda one: one[2].median)
    if len(interleaved) < 2:
        return
    (fastest, reference, _), *others = interleaved
    table = Table("model", f"times as long as {fastest}", "95 % interval", "p")
    for name, timing, _ in others:
        # Networks of another session were timed in other rounds, at other moments.
        if timing.session == reference.session:
            found = compare_times(timing, reference, spread)
            # Too few rounds exclude no ratio; then p is large for the same reason.
            interval = f"{found.ci[0]:.4f} to {found.ci[1]:.4f}" if math.isfinite(found.ci[1]) else "unknown"
            table.add_row(name, f"{found.ratio:.4f}", interval, spelled_p_value(found.p_value))
    if table.row_count:
        out.print(table)
        out.print("each p-value is for that pair alone, without correction for multiple comparisons", highlight=False)


def _print_rooflines(rows: Sequence[SubmissionTime]) -> None:
    """Print the memory traffic, the achieved rates and the bottleneck of each network."""
    known = [(row, row.roofline) for row in rows if row.roofline is not None]
    if not known:
        return
    table = Table("model", "GMAC", "MB moved", "operators", "GMAC/s", "GB/s", "bound by")
    for row, roof in known:
        mark = LOWER_BOUND if row.macs_are_lower_bound else ""
        rates = (
            f"{mark}{roof.macs_per_s / 1e9:.3g} ({roof.compute_fraction:.0%})",
            f"{roof.bytes_per_s / 1e9:.3g} ({roof.memory_fraction:.0%})",
        )
        counts = (f"{mark}{(row.macs or 0) / 1e9:.3g}", f"{roof.bytes_moved / 1e6:.0f}", str(roof.operators))
        table.add_row(row.name, *counts, *rates, roof.bound)
    out.print(table)
    best = known[0][1].ceilings
    out.print(
        f"ceilings here: {best.macs_per_s / 1e9:.3g} GMAC/s in a large matrix product or convolution, "
        f"{best.bytes_per_s / 1e9:.3g} GB/s in a large copy, {best.launch_s * 1e6:.2g} µs for a tiny operator",
        highlight=False,
    )
