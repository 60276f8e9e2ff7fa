"""List the runs in a folder of reports, finished or not."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from harness.errors import ResultsError
from harness.report.columns import score_text
from harness.results.progress import FinishedNetwork, RunProgress, describe_stage, describe_time_left, read_progress
from harness.results.run_folder import RunFolder, load_run
from harness.results.run_info import moment_of

State = Literal["complete", "interrupted", "running", "unreadable"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in a list; unknown values are empty."""

    folder: str
    link: str
    state: State
    created: str = ""
    track: str = ""
    dataset: str = ""
    device: str = ""
    measured: int = 0
    total: int = 0
    best: str = ""
    begun: str = ""
    stage: str = ""
    share: float = 0.0
    left: str = ""
    finished: tuple[FinishedNetwork, ...] = ()

    @property
    def can_be_compared(self) -> bool:
        """Whether the run has results and goes on no more."""
        return bool(self.created)

    def record(self) -> dict[str, Any]:
        """Return the summary as plain values."""
        return asdict(self) | {"finished": [one.model_dump() for one in self.finished]}


def list_runs(root: Path) -> list[RunSummary]:
    """Return the runs in a folder, the latest first; runs in progress, which have no date yet, come before all."""
    # Hidden folders hold temporary files and caches, no runs.
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [summary for path in sorted(folders) if (summary := summarise_run(path)) is not None]
    return sorted(found, key=lambda one: (one.state == "running", moment_of(one.created)), reverse=True)


def summarise_run(path: Path) -> RunSummary | None:
    """Return what is known of a run's folder, or None where it holds no run."""
    results, measurements = path / "results.json", list((path / "measurements").glob("*.json"))
    progress = read_progress(path)
    # A run in progress comes before its results: an earlier run may have left some in the same folder.
    if progress is not None:
        return _in_progress(path, progress)
    if not results.is_file() and not measurements and not (path / "logs").is_dir():
        return None
    if not results.is_file():
        # Stopped before its first table: the stored measurements are all that there is.
        return RunSummary(path.name, "", "interrupted", measured=len(measurements))
    try:
        return _finished(load_run(path))
    except ResultsError:
        return RunSummary(path.name, "", "unreadable")


def _in_progress(path: Path, progress: RunProgress) -> RunSummary:
    return RunSummary(
        path.name,
        _link(path),  # to the report of an earlier run into the same folder
        "running",
        measured=progress.done,
        total=progress.total,
        begun=progress.name,
        stage="; ".join(f"{place}: {what}" for place, what in sorted(progress.places.items()))
        or describe_stage(progress.stage, progress.detail, progress.process, progress.processes),
        share=round(progress.share, 3),
        left=describe_time_left(progress.seconds_left),
        finished=tuple(progress.finished),
    )


def _finished(folder: RunFolder) -> RunSummary:
    run = folder.run
    ranked = sorted((entry for entry in run.entries if entry.rank), key=lambda entry: entry.rank or 0)
    return RunSummary(
        folder=folder.path.name,
        link=_link(folder.path),
        state="complete" if run.run.complete else "interrupted",
        created=run.run.created,
        track=run.track.name,
        dataset=run.dataset.name,
        device=run.device.name,
        measured=len(run.entries),
        total=len(run.entries),
        best=f"{ranked[0].name} ({score_text(ranked[0], 2)})" if ranked else "",
    )


def _link(path: Path) -> str:
    return quote(f"{path.name}/leaderboard.html") if (path / "leaderboard.html").is_file() else ""
