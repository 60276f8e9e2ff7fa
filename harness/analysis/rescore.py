"""Apply another track's rules to the figures of a stored run. Nothing is measured and the run is not changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.analysis.derived_runs import write_derived
from harness.analysis.stored_rows import bicubic_by_dataset, bicubic_figures, psnr_by_image, stored_timing
from harness.data.degradation import GIVEN_LR, get_degradation
from harness.errors import UsageError
from harness.quality import get_convention
from harness.results.columns import MEASURES
from harness.results.image_table import IMAGE_TABLE, exchanged
from harness.results.run_folder import RunFolder, load_run
from harness.results.run_info import DatasetInfo, RunInfo
from harness.results.schema import Entry, QualityFigures, Run, Runtime
from harness.statistics.process_spread import RelativeTimes, spread_of
from harness.statistics.runtime_summary import relative_times
from harness.tracks import Track, track_info
from harness.tracks.scoring import (
    NO_SCORE,
    RowFigures,
    ScoringRules,
    inexact_scores,
    known_figures,
    rank_rows,
    score_row,
)

_OF_THE_FRAME = ("macs", "flops", "macs_ntire23", "activations", "peak_memory_bytes", "energy", "roofline")
"""Figures of a row, besides its times, that hold for the size of the timed frame."""


@dataclass(frozen=True, slots=True)
class Rescored:
    """A run by the rules of another track.

    Attributes
    ----------
    run
        Its table.
    folder
        Where the table was written.
    missing
        One line for each figure that the track needs and that rows do not have, or for which its formula has no value.
    """

    run: Run
    folder: Path
    missing: list[str]


def write_rescored(run_folder: Path, track: Track, *, published: bool = False) -> Rescored:
    """Score and rank the rows of a run by another track, into the folder ``rescored-TRACK`` inside the run's.

    Parameters
    ----------
    run_folder
        Folder of a finished run.
    track
        Its formula, gates and ranking are applied. Quality is taken by its convention if the run has it; runtimes and
        counts are taken if the run measured at the track's size.
    published
        Take the runtimes that the models' authors state instead of the measured ones. They have no interval.

    Raises
    ------
    UsageError
        The run has another scale.
    ResultsError
        The run cannot be read, or the table cannot be written.
    """
    folder = load_run(run_folder)
    if folder.run.track.scale != track.scale:
        scales = f"the run is of scale {folder.run.track.scale}, track {track.name} of scale {track.scale}"
        raise UsageError(scales, where=str(run_folder), hint="choose a track of the run's scale")
    sources = _Sources(folder, track, published=published)
    rows = [sources.row(entry) for entry in folder.run.entries]
    rules = sources.rules()
    # After rows have got their runtime, because the figures take it from there.
    figures = {entry.slug: sources.figures(entry) for entry in rows}
    board = rank_rows([score_row(entry, figures[entry.slug], rules) for entry in rows], figures, rules)
    missing = [*sources.remarks(), *_missing(rows, rules), *_undefined(board.entries)]
    info = track_info(track, *sources.reference(), board.entries)
    # What disturbed the timing says nothing about the times that authors state.
    disturbances = [] if published else folder.run.disturbances
    kept = folder.run.remarks if published else folder.run.warnings
    # The scores by the run's own rules are not in this table.
    of_the_run = inexact_scores(folder.run.entries)
    kept = [one for one in kept if one not in of_the_run]
    inexact = inexact_scores(board.entries)
    update = {
        "run": sources.run_info(),
        "track": info,
        "datasets": sources.datasets(),
        "entries": board.entries,
        "comparisons": board.comparisons,
        "disturbances": disturbances,
        "warnings": [f"scored by {track.name}; measured for {folder.run.track.name}", *missing, *kept, *inexact],
    }
    run = folder.run.model_copy(update=update)
    target = write_derived(folder, run, f"rescored-{track.name}", sources.image_table())
    return Rescored(load_run(target).run, target, missing)


@dataclass(frozen=True, slots=True)
class _Sources:
    """Which of a run's figures another track may use."""

    folder: RunFolder
    track: Track
    published: bool

    @property
    def same_size(self) -> bool:
        """Whether the run timed and counted at the track's size."""
        return tuple(self.folder.run.protocol.input_shape) == self.track.input_shape

    @property
    def own_convention(self) -> bool:
        """Whether the run's own figures of quality are those of the track's convention."""
        return self._own_name == get_convention(self.track.convention).name

    @property
    def has_convention(self) -> bool:
        """Whether the run measured quality by the track's convention, as its own or as a further one."""
        return self.own_convention or self.track.convention in self.folder.run.run.further_conventions

    @property
    def bicubic(self) -> float | None:
        """PSNR of bicubic on the run's images by the track's metric and convention, if known, dB."""
        psnr, source = self.reference()
        return None if source == "unknown" else psnr

    def reference(self) -> tuple[float, Literal["measured", "published", "unknown"]]:
        """Return that PSNR, that of the run itself if it has no row of bicubic, and where it comes from."""
        row, own = bicubic_figures(self.folder), self.folder.run.track
        quality = None if row is None else self._quality(row)
        if quality is not None:
            return float(getattr(quality, self.track.metric)), "measured"
        same = self.own_convention and own.metric == self.track.metric
        # By another metric or convention, the run's figure is of another quantity.
        return (own.bicubic_psnr, own.bicubic_source) if same else (0.0, "unknown")

    def row(self, entry: Entry) -> Entry:
        """Return a row with the figures that the track may use, without score and rank."""
        quality = self._quality(entry)
        update: dict[str, object] = {name: getattr(quality, name, None) for name in MEASURES}
        if self.has_convention and not self.own_convention:
            update["conventions"] = self._further(entry)
        if not self.own_convention:
            # Figures of single data sets are stored by the run's own convention only.
            update["datasets"] = {}
        update |= {"score": None, "score_ci": None, "score_log10": None, "score_log10_ci": None}
        update |= {"partial_scores": {}, "rank_sums": {}, "failed_gates": [], "partly_counted": []}
        update |= {"rank": None, "rank_range": None, "tied_with": []}
        update |= {"runtime_ms": self._runtime(entry), "fps": None, "delta_psnr_bicubic": None}
        if self.bicubic is not None and quality is not None:
            update["delta_psnr_bicubic"] = getattr(quality, self.track.metric) - self.bicubic
        if not self.same_size:
            # Memory, energy and operations grow with the frame, and rates are of that frame.
            update |= dict.fromkeys(_OF_THE_FRAME)
        return entry.model_copy(update=update)

    def figures(self, entry: Entry) -> RowFigures:
        """Return the measurements behind a row: images if the run has the convention, times if they were measured."""
        measure = self.track.metric if self.own_convention else f"{self.track.metric}_{self.track.convention}"
        # Without figures of single images, rows have ranks but are not compared in pairs.
        psnr = psnr_by_image(self.folder, entry.slug, measure)
        reference = bicubic_figures(self.folder)
        is_reference = reference is not None and reference.slug == entry.slug
        return RowFigures(psnr, entry.runtime_ms, None if self.published else self._times(entry), is_reference)

    def run_info(self) -> RunInfo:
        """Return what the table states of the run: the track's convention becomes its own if the run has it."""
        info, name = self.folder.run.run, self.track.convention
        if self.own_convention or not self.has_convention:
            return info
        further = {other: text for other, text in info.further_conventions.items() if other != name}
        return info.model_copy(
            update={
                "convention": info.further_conventions[name],
                "further_conventions": {self._own_name: info.convention, **further},
            }
        )

    def datasets(self) -> list[DatasetInfo]:
        """Return the data sets, without bicubic's PSNR if that is another figure than the track's."""
        found = self.folder.run.datasets
        same = self.own_convention and self.track.metric == self.folder.run.track.metric
        return found if same else [one.model_copy(update={"bicubic_psnr": None}) for one in found]

    def image_table(self) -> dict[str, bytes]:
        """Return ``per_image.csv`` with the figures by the track's convention as its own, if that is a further one."""
        lines = self.folder.image_lines() if self.has_convention and not self.own_convention else []
        return {IMAGE_TABLE: exchanged(lines, self.track.convention, self._own_name)} if lines else {}

    def rules(self) -> ScoringRules:
        """Return the track's rules for this run."""
        run, reference = self.folder.run, bicubic_figures(self.folder)
        psnr = self.figures(reference).psnr if reference is not None else {}
        known = bicubic_by_dataset(self.folder) if self.track.metric == run.track.metric and self.own_convention else {}
        # NaN stands for an unknown figure, see `known_figures`.
        bicubic = float("nan") if self.bicubic is None else self.bicubic
        return ScoringRules(self.track, bicubic, run.protocol.statistic, run.protocol.backend, psnr, known)

    def remarks(self) -> list[str]:
        """Return why figures of the run are not those of the track."""
        run, remarks = self.folder.run, []
        if not self.same_size:
            sizes = ["x".join(map(str, shape[2:])) for shape in (run.protocol.input_shape, self.track.input_shape)]
            remarks.append(f"the run timed and counted at {sizes[0]} (height x width), the track asks for {sizes[1]}")
        if not self.published and self.track.protocol not in (None, run.protocol.name):
            remarks.append(
                f"the run timed by the protocol {run.protocol.name}, the track prescribes {self.track.protocol}"
            )
        # How given LR images were made is not known.
        if run.dataset.degradation != self._degradation and not run.dataset.degradation.startswith(GIVEN_LR):
            remarks.append(f"LR of the run: {run.dataset.degradation}; LR of the track: {self._degradation}")
        if not self.has_convention:
            hint = f"harness run --convention {self.track.convention}"
            remarks.append(f"quality by the convention {self.track.convention} was not measured: {hint}")
        return remarks

    @property
    def _degradation(self) -> str:
        """How the track's LR images are made, as runs store it."""
        names = [one.degradation or self.track.degradation for one in self.track.datasets] or [self.track.degradation]
        return "; ".join(dict.fromkeys(get_degradation(name).description for name in names))

    @property
    def _own_name(self) -> str:
        """The name of the run's own convention."""
        # The stored sentence begins with it; its wording may be that of an earlier version.
        return self.folder.run.run.convention.split(" (")[0]

    def _further(self, entry: Entry) -> dict[str, QualityFigures]:
        """Return the quality by further conventions, the run's own one among them in place of the track's."""
        others = {name: one for name, one in entry.conventions.items() if name != self.track.convention}
        own = _own_quality(entry)
        return others if own is None else {self._own_name: own, **others}

    def _quality(self, entry: Entry) -> QualityFigures | None:
        return _own_quality(entry) if self.own_convention else entry.conventions.get(self.track.convention)

    def _runtime(self, entry: Entry) -> Runtime | None:
        if not self.published:
            return entry.runtime_ms if self.same_size else None
        stated = entry.published.runtime_ms if entry.published else None
        if stated is None:
            return None
        source = f"published: {entry.published.source}" if entry.published and entry.published.source else "published"
        return Runtime.stated(stated, source)

    def _times(self, entry: Entry) -> RelativeTimes | None:
        record = stored_timing(self.folder, entry) if entry.runtime_ms is not None else None
        return None if record is None else relative_times(record, spread_of(self.folder.run.process_spread))


def _own_quality(entry: Entry) -> QualityFigures | None:
    """Return the quality by the run's own convention; None if a figure is unknown."""
    values = {name: getattr(entry, name) for name in MEASURES}
    return None if None in values.values() else QualityFigures(**values)


def _missing(rows: list[Entry], rules: ScoringRules) -> list[str]:
    """Return one line for each figure that some rows lack."""
    lacking: dict[str, list[str]] = {}
    measured = [entry for entry in rows if entry.status == "ok"]
    for entry in measured:
        known = known_figures(entry, rules)
        # A gate on an unknown figure fails, which must be said, too.
        needed = [*rules.track.needs, *(gate.figure for gate in rules.track.gates)]
        for name in dict.fromkeys(needed):
            if name not in known:
                lacking.setdefault(name, []).append(entry.name)
    return [
        f"{name} is not known for {'any row' if len(names) == len(measured) else ', '.join(names)}"
        for name, names in lacking.items()
    ]


def _undefined(entries: list[Entry]) -> list[str]:
    """Return one line for each reason why the formula has no value for rows."""
    reasons: dict[str, list[str]] = {}
    for entry in entries:
        for note in entry.notes:
            if note.startswith(NO_SCORE):
                reasons.setdefault(note, []).append(entry.name)
    return [f"{', '.join(names)}: {note}" for note, names in reasons.items()]
