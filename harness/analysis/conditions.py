"""The conditions of two runs that differ, and what they make incomparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from harness.results.comparison import ConditionChange
from harness.results.run_folder import RunFolder
from harness.statistics.disturbances import foreign_load_of
from harness.statistics.runtime_summary import LOAD_LIMIT

Figures = Literal["quality", "times", "scores"]
_KINDS: tuple[Figures, ...] = get_args(Figures)


def incomparable(conditions: Sequence[ConditionChange]) -> set[Figures]:
    """Return which figures cannot be compared because of conditions that differ."""
    invalid: set[Figures] = set()
    for one in conditions:
        if one.invalidates == "everything":
            return set(_KINDS)
        invalid |= {kind for kind in _KINDS if kind in one.invalidates}
    return invalid


def condition_changes(before: RunFolder, after: RunFolder) -> list[ConditionChange]:
    """Return the conditions that differ between two runs, the most important first.

    Raises
    ------
    ResultsError
        A file of samples is damaged.
    """
    one, other = before.run, after.run
    conditions = [
        ("track", one.track.name, other.track.name, "everything"),
        # A custom track may have been edited.
        ("score formula", one.track.score_formula, other.track.score_formula, "scores"),
        ("data set", one.dataset.fingerprint, other.dataset.fingerprint, "quality and scores"),
        ("bicubic PSNR", f"{one.track.bicubic_psnr:.4f}", f"{other.track.bicubic_psnr:.4f}", "scores"),
        ("convention", one.run.convention, other.run.convention, "quality and scores"),
        (
            "device",
            f"{one.device.name} ({one.device.kind})",
            f"{other.device.name} ({other.device.kind})",
            "times and scores",
        ),
        ("threads", str(one.device.threads), str(other.device.threads), "times and scores"),
        ("protocol", one.protocol.name, other.protocol.name, "times and scores"),
        # Precision changes the outputs as well as the times.
        ("precision", one.protocol.precision, other.protocol.precision, "everything"),
        ("backend", one.protocol.backend, other.protocol.backend, "times and scores"),
        ("statistic", one.protocol.statistic, other.protocol.statistic, "times and scores"),
        ("input", str(one.protocol.input_shape), str(other.protocol.input_shape), "times and scores"),
        # Other versions are stated and invalidate nothing.
        ("torch", one.device.torch, other.device.torch, ""),
        ("driver", one.device.driver or "", other.device.driver or "", ""),
        ("harness", one.run.harness_version, other.run.harness_version, ""),
        *_load_condition(before, after),
        *_package_conditions(one.device.versions, other.device.versions),
    ]
    return [ConditionChange(*condition) for condition in conditions if condition[1] != condition[2]]


def _load_condition(before: RunFolder, after: RunFolder) -> list[tuple[str, str, str, str]]:
    """Return the load of other programs, if only one of the runs was disturbed by it."""
    one, other = foreign_load_of(before), foreign_load_of(after)
    # Unknown, or both quiet, or both disturbed.
    if one is None or other is None or (one > LOAD_LIMIT) == (other > LOAD_LIMIT):
        return []
    return [("load of other programs", f"up to {one:.0%}", f"up to {other:.0%}", "times and scores")]


def _package_conditions(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    return [(name, old.get(name, "none"), new.get(name, "none"), "") for name in sorted({*old, *new})]
