"""Durations of the stages of a run: one line with the longest ones, and a table of all."""

from __future__ import annotations

from rich.table import Table

from harness.results import Run

_LARGEST = 5


def largest_parts(run: Run) -> str:
    """Return one line with the stages that took longest, and what all took; empty if nothing is known."""
    parts = _parts(run)
    if not parts:
        return ""
    largest = sorted(parts, key=lambda part: -part[2])[:_LARGEST]
    named = ", ".join(f"{name} {stage} {_seconds(spent_s)}".strip() for name, stage, spent_s in largest)
    return f"measured in {_seconds(sum(spent_s for _, _, spent_s in parts))}; most of it: {named}"


def profile_table(run: Run) -> Table:
    """Return the seconds of every stage of every submission, largest sum first."""
    parts = _parts(run)
    stages = list(dict.fromkeys(stage for _, stage, _ in parts))
    seconds = {(name, stage): spent_s for name, stage, spent_s in parts}
    table = Table(title="seconds by stage", title_justify="left")
    table.add_column("model", no_wrap=True)
    for stage in (*stages, "all"):
        table.add_column(stage, justify="right", no_wrap=True)
    sums = {name: sum(seconds.get((name, stage), 0.0) for stage in stages) for name, _, _ in parts}
    for name in sorted(sums, key=lambda name: -sums[name]):
        figures = [f"{seconds[name, stage]:.1f}" if (name, stage) in seconds else "" for stage in stages]
        table.add_row(name or "(the run itself)", *figures, f"{sums[name]:.1f}")
    # Sums over submissions; work that overlaps is counted in the stage that was reported.
    of_stages = [sum(spent_s for _, of_stage, spent_s in parts if of_stage == stage) for stage in stages]
    table.add_row("all", *(f"{spent_s:.1f}" for spent_s in of_stages), f"{sum(of_stages):.1f}", style="bold")
    return table


def _parts(run: Run) -> list[tuple[str, str, float]]:
    """Return name, stage and seconds; the name is empty for what belongs to no submission."""
    rows = [("", run.run.stage_seconds), *((entry.name, entry.stage_seconds) for entry in run.entries)]
    return [(name, stage, spent_s) for name, seconds in rows for stage, spent_s in seconds.items()]


def _seconds(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
