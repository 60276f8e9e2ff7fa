"""Choose a network for given limits of time and memory from a stored run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.errors import UsageError
from harness.report.columns import Column, runtime_of
from harness.report.exports import chosen_columns
from harness.results.columns import MEASURES
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry
from harness.statistics.pareto import on_front
from harness.text import beside

# Bytes. Figures in MB are decimal in this module, as its options say.
MEGABYTE = 1e6
_INEXACT = "is, or rests on, a lower bound: not all operators could be counted"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a network must keep.

    Attributes
    ----------
    fps
        Frames per second, at least.
    memory_mb
        Peak memory, megabytes (10^6 bytes), at most.
    params_k
        Thousands of parameters, at most.
    energy_j
        Joules per frame, at most.
    baselines
        Whether interpolations are candidates, too.
    """

    fps: float | None = None
    memory_mb: float | None = None
    params_k: float | None = None
    energy_j: float | None = None
    baselines: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network that keeps the limits.

    Attributes
    ----------
    entry
        Its row.
    value
        The figure by which networks are chosen.
    runtime_ms
        Time of one forward pass by the run's statistic.
    surely
        Whether the slow end of the runtime's interval keeps the limit of frames per second, too.
    in_front
        Whether no candidate is at least as good and at least as fast, and better or faster.
    """

    entry: Entry
    value: float
    runtime_ms: float
    surely: bool
    in_front: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The result of :func:`choose`.

    Attributes
    ----------
    by
        Key of the figure.
    title, unit
        Heading and unit of the figure.
    fitting
        The candidates, best first.
    left_out
        Other rows with the reason why they do not fit.
    """

    by: str
    title: str
    unit: str
    fitting: list[Candidate]
    left_out: list[tuple[Entry, str]]

    @property
    def best(self) -> Candidate | None:
        """The best candidate; None if there is none."""
        return self.fitting[0] if self.fitting else None

    def steps(self) -> list[tuple[Candidate, Candidate]]:
        """Return each candidate in front of the others with the next faster one, from the best on."""
        # By time, so that of networks that are equally good and fast only the first is named.
        front = {one.runtime_ms: one for one in reversed(self.fitting) if one.in_front}
        return list(pairwise(front[ms] for ms in sorted(front, reverse=True)))


def choose(folder: RunFolder, limits: Limits, by: str = "psnr_rgb") -> Choice:
    """Return which networks of a run keep the limits, best first.

    In a run with several backends, a network is a candidate on each. Backends that hold are equal in quality, so the
    fastest of them comes first.

    Parameters
    ----------
    folder
        A run.
    limits
        What must be kept.
    by
        Key of a column of the leaderboard in which values differ in quality, such as ``psnr_y`` or ``score``.

    Raises
    ------
    UsageError
        There is no such column, or none of its values is better than another.
    """
    # Raises for an unknown key, with the nearest one.
    (column,) = chosen_columns(folder, [by])
    if column.better is None:
        raise UsageError(f"{by} does not say which network is better", hint="choose by psnr_y, ssim_y or score")
    fitting, left_out = [], []
    for entry in folder.run.entries:
        reason = _why_not(entry, column, limits, runtime_of(entry, folder.run.protocol))
        if reason:
            left_out.append((entry, reason))
        else:
            fitting.append(entry)
    worth = _worth(folder, column)
    found = _candidates(fitting, lambda entry: worth[id(entry)], folder, limits)
    rows = [Candidate(e, column.value(e) or 0.0, ms, surely, front) for e, ms, surely, front in found]
    return Choice(by, column.title, column.unit, rows, left_out)


def _worth(folder: RunFolder, column: Column) -> dict[int, float]:
    """Return what rows are ordered by, greater is better, by the ``id`` of the entry."""
    sign = 1.0 if column.better == "high" else -1.0
    entries = {entry.slug: entry for entry in folder.run.entries}
    worth = {id(entry): sign * (column.value(entry) or 0.0) for entry in folder.run.entries}
    if column.key not in (*MEASURES, "delta_psnr_bicubic"):
        return worth
    for row in folder.run.backends:
        # Outputs of these backends are equal up to rounding. Without this, rounding would choose the backend.
        held = [id(entries[cell.slug]) for cell in row.cells if cell.holds and cell.slug in entries]
        worth |= dict.fromkeys(held, max((worth[one] for one in held), default=0.0))
    return worth


def _candidates(
    entries: Sequence[Entry], worth: Callable[[Entry], float], folder: RunFolder, limits: Limits
) -> list[tuple[Entry, float, bool, bool]]:
    """Return entries with runtime, whether they surely fit and whether they are in front, best and fastest first."""
    timed = [(entry, ms) for entry in entries if (ms := runtime_of(entry, folder.run.protocol)) is not None]
    # Of equally good networks the fastest comes first.
    timed.sort(key=lambda pair: (-worth(pair[0]), pair[1]))
    front = on_front([(ms, worth(entry)) for entry, ms in timed])
    found = []
    for (entry, ms), in_front in zip(timed, front, strict=True):
        # Who promises frames per second wants to know whether the uncertainty of the time allows it.
        slow_end = entry.runtime_ms.ci[1] if entry.runtime_ms else ms
        found.append((entry, ms, limits.fps is None or 1000 / slow_end >= limits.fps, in_front))
    return found


def _why_not(entry: Entry, column: Column, limits: Limits, runtime_ms: float | None) -> str:
    """Return why a row does not fit; empty if it does."""
    # All texts are made, whether they apply or not; hence the replacements for unknown values in them.
    memory = entry.peak_memory_bytes
    reasons = [
        (entry.kind == "baseline" and not limits.baselines, "an interpolation"),
        (entry.status != "ok", f"{entry.status}"),
        (column.value(entry) is None, f"no {column.title}"),
        (not column.exact(entry), f"its {column.title} {_INEXACT}"),
        (runtime_ms is None, "no runtime"),
        (
            limits.fps is not None and runtime_ms is not None and 1000 / runtime_ms < limits.fps,
            f"{beside(1000 / (runtime_ms or 1), limits.fps or 0, 1)} fps",
        ),
        (limits.memory_mb is not None and memory is None, "its memory is unknown"),
        (
            limits.memory_mb is not None and memory is not None and memory > limits.memory_mb * MEGABYTE,
            f"{beside((memory or 0) / MEGABYTE, limits.memory_mb or 0, 0)} MB",
        ),
        (limits.params_k is not None and entry.params is None, "its number of parameters is unknown"),
        (
            limits.params_k is not None and entry.params is not None and entry.params > 1e3 * limits.params_k,
            f"{beside((entry.params or 0) / 1e3, limits.params_k or 0, 1)} K parameters",
        ),
        (limits.energy_j is not None and entry.energy is None, "its energy is unknown"),
        (
            limits.energy_j is not None and entry.energy is not None and entry.energy.joules > limits.energy_j,
            f"{beside(entry.energy.joules if entry.energy else 0.0, limits.energy_j or 0, 3, 'g')} J",
        ),
    ]
    return next((text for applies, text in reasons if applies), "")
