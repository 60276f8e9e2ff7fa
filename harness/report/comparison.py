"""What changed between two runs, by how much, and whether the difference means anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from harness.report.columns import runtime_of
from harness.report.rules import Metric, metric_of, quality
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry, Interval

# Outputs are uint8: the same pixels give the same PSNR but for the last digits of a sum.
SAME_DB = 1e-6
# Below so many calls an interval is a guess.
_FEWEST_CALLS = 10


@dataclass(frozen=True, slots=True)
class Shift:
    """One figure before and after; ``real`` is None where nothing tells noise from change."""

    before: float
    after: float
    real: bool | None

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def ratio(self) -> float | None:
        """After over before."""
        return self.after / self.before if self.before else None


@dataclass(frozen=True, slots=True)
class Change:
    """One model that both runs hold; a shift is None where one run lacks the figure."""

    before: Entry
    after: Entry
    score: Shift | None
    psnr: Shift | None
    runtime: Shift | None

    @property
    def real(self) -> bool:
        """Whether its status changed, or any figure more than noise does."""
        shifts = (self.score, self.psnr, self.runtime)
        return self.before.status != self.after.status or any(shift is not None and shift.real for shift in shifts)


@dataclass(frozen=True, slots=True)
class Difference:
    """A condition that differs; ``spoils`` names the figures that it makes incomparable."""

    what: str
    before: str
    after: str
    spoils: str

    @property
    def verdict(self) -> str:
        """What cannot be compared because of it, as a clause; empty where nothing is spoilt."""
        if self.spoils == "everything":
            return "nothing can be compared"
        return f"{self.spoils} cannot be compared" if self.spoils else ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side."""

    before: RunFolder
    after: RunFolder
    metric: Metric
    differences: list[Difference]
    changes: list[Change]
    added: list[Entry]
    removed: list[Entry]


def compare_runs(before: RunFolder, after: RunFolder) -> Comparison:
    """Compare two runs.

    Models are matched by slug. A runtime changed really where the two 95 % intervals do not meet; nothing tells where
    it rests on few calls. A PSNR changed really where the 95 % interval of the mean paired difference over images
    excludes zero, and a score where one of the two did.
    """
    old = {entry.slug or entry.name: entry for entry in before.run.entries}
    new = {entry.slug or entry.name: entry for entry in after.run.entries}
    changes = [_change(before, after, old[key], new[key]) for key in new if key in old]
    return Comparison(
        before=before,
        after=after,
        metric=metric_of(after.run),
        differences=differences(before, after),
        changes=sorted(changes, key=lambda change: (not change.real, _size(change), change.after.name)),
        added=[new[key] for key in new if key not in old],
        removed=[old[key] for key in old if key not in new],
    )


def differences(before: RunFolder, after: RunFolder) -> list[Difference]:
    """Return the conditions that differ between two runs, the gravest first."""
    one, other = before.run, after.run
    conditions = [
        ("track", one.track.name, other.track.name, "everything"),
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
        ("precision", one.protocol.precision, other.protocol.precision, "everything"),
        ("backend", one.protocol.backend, other.protocol.backend, "times and scores"),
        ("statistic", one.protocol.statistic, other.protocol.statistic, "times and scores"),
        ("input", str(one.protocol.input_shape), str(other.protocol.input_shape), "times and scores"),
        ("torch", one.device.torch, other.device.torch, ""),
        ("driver", one.device.driver or "", other.device.driver or "", ""),
        ("harness", one.run.harness_version, other.run.harness_version, ""),
        *_package_conditions(one.device.versions, other.device.versions),
    ]
    return [Difference(*condition) for condition in conditions if condition[1] != condition[2]]


def _package_conditions(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    return [(name, old.get(name, "none"), new.get(name, "none"), "") for name in sorted({*old, *new})]


def _change(before: RunFolder, after: RunFolder, old: Entry, new: Entry) -> Change:
    metric = metric_of(after.run)
    times = runtime_of(old, before.run.protocol), runtime_of(new, after.run.protocol)
    firm = all(entry.runtime_ms is not None and entry.runtime_ms.samples >= _FEWEST_CALLS for entry in (old, new))
    old_ci, new_ci = (entry.runtime_ms.ci if entry.runtime_ms and firm else None for entry in (old, new))
    changed_images = _images_differ(before, after, old.slug, new.slug, metric)
    changed_time = _apart(old_ci, new_ci)
    return Change(
        before=old,
        after=new,
        # Below bicubic every score is 0, however the times moved.
        score=_shift(old.score, new.score, _either(changed_images, changed_time) and old.score != new.score),
        psnr=_shift(quality(old, metric), quality(new, metric), changed_images),
        runtime=_shift(*times, changed_time),
    )


def _shift(before: float | None, after: float | None, real: bool | None) -> Shift | None:
    return None if before is None or after is None else Shift(before, after, real)


def _either(one: bool | None, other: bool | None) -> bool | None:
    """Return whether one of two is true; None where neither is and one is not known."""
    return True if one or other else None if one is None or other is None else False


def _apart(one: Interval | None, other: Interval | None) -> bool | None:
    return None if one is None or other is None else one[1] < other[0] or other[1] < one[0]


def _images_differ(before: RunFolder, after: RunFolder, old: str, new: str, metric: Metric) -> bool | None:
    first, second = before.per_image.get(old, {}), after.per_image.get(new, {})
    shared = [name for name in first if name in second and metric in first[name] and metric in second[name]]
    return mean_differs([second[name][metric] - first[name][metric] for name in shared])


def mean_differs(pairs: Sequence[float]) -> bool | None:
    """Return whether the 95 % t interval of the mean of paired differences excludes zero; None for under two."""
    if all(abs(difference) < SAME_DB for difference in pairs):
        return False if pairs else None
    if len(pairs) < 2:
        return None
    from scipy.stats import t

    reach = float(t.ppf(0.975, len(pairs) - 1)) * stdev(pairs) / sqrt(len(pairs))
    return abs(fmean(pairs)) > reach


def _size(change: Change) -> float:
    """Return a key that puts the largest relative change of the score, or of the runtime, first."""
    shift = change.score if change.score and change.score.before else change.runtime
    ratio = shift.ratio if shift else None
    return -abs(ratio - 1) if ratio is not None else 0.0
