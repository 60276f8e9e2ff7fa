"""What runs a folder of reports holds, finished or not."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from harness.errors import ResultsError
from harness.report.folder import RunFolder, load_run

State = Literal["complete", "interrupted", "running", "unreadable"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run for a list; what is not known yet is empty."""

    folder: str
    link: str
    state: State
    created: str = ""
    track: str = ""
    dataset: str = ""
    device: str = ""
    measured: int = 0
    best: str = ""
    begun: str = ""

    def record(self) -> dict[str, Any]:
        """Return the summary as plain values."""
        return asdict(self)


def list_runs(root: Path) -> list[RunSummary]:
    """Return the runs in a folder, the latest first; a run in progress, which has no date yet, before all."""
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [summary for path in sorted(folders) if (summary := summarise_run(path)) is not None]
    return sorted(found, key=lambda one: (one.state == "running", one.created), reverse=True)


def summarise_run(path: Path) -> RunSummary | None:
    """Return what is known of a run's folder, or None where it holds no run."""
    results, measurements = path / "results.json", list((path / "measurements").glob("*.json"))
    if not results.is_file() and not measurements and not (path / "logs").is_dir():
        return None
    if not results.is_file() or _newer(measurements, results):
        return RunSummary(path.name, "", "running", measured=len(measurements), begun=_latest_log(path))
    try:
        return _finished(load_run(path))
    except ResultsError:
        return RunSummary(path.name, "", "unreadable")


def _finished(folder: RunFolder) -> RunSummary:
    run = folder.run
    page = folder.path / "leaderboard.html"
    ranked = sorted((entry for entry in run.entries if entry.rank), key=lambda entry: entry.rank or 0)
    return RunSummary(
        folder=folder.path.name,
        link=quote(f"{folder.path.name}/leaderboard.html") if page.is_file() else "",
        state="complete" if run.run.complete else "interrupted",
        created=run.run.created,
        track=run.track.name,
        dataset=run.dataset.name,
        device=run.device.name,
        measured=len(run.entries),
        best=f"{ranked[0].name} ({ranked[0].score:.2f})" if ranked else "",
    )


def _newer(files: list[Path], than: Path) -> bool:
    """Return whether a measurement was stored after the table, as happens while a run goes on."""
    written = than.stat().st_mtime
    return any(_modified(file) > written for file in files)


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # replaced or removed between the listing and here
        return 0.0


def _latest_log(path: Path) -> str:
    """Return the name of the submission that wrote last, which is the one being measured."""
    logs = sorted((path / "logs").glob("*.log"), key=lambda log: (_modified(log), log.name))
    return logs[-1].stem if logs else ""
