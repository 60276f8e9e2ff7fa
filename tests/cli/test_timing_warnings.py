"""What makes times unreliable is said once, before anything is timed, and not where nothing is."""

from harness.cli.progress_display import WarnBeforeMeasuring
from harness.results import Measurement
from harness.run.progress import Progress, ProgressEvent, StageProgress, SubmissionFinished


def told_by(heard: list[str]) -> Progress:
    """Return the progress of a run with two listeners, of which the second notes what it hears."""

    def note(event: ProgressEvent) -> None:
        if isinstance(event, StageProgress):
            heard.append(f"{event.name} {event.stage} {event.detail}".strip())
        if isinstance(event, SubmissionFinished):
            heard.append(event.name)

    return Progress([WarnBeforeMeasuring(lambda: heard.append("warning")), note])


def test_the_warning_comes_once_before_the_first_stage() -> None:
    heard: list[str] = []
    progress = told_by(heard)
    progress.start([("a", "a"), ("b", "b")], 1)
    progress.stage("", "wait", "for another run on this device")
    progress.stage("a", "start")
    progress.timing("a", 0, 1, 0.2, "at 8x8")
    assert heard == ["wait for another run on this device", "warning", "a start", "a time at 8x8"]


def test_a_run_of_nothing_new_is_not_warned_of() -> None:
    heard: list[str] = []
    progress = told_by(heard)
    stored = Measurement(fingerprint="f", created="2026-01-01T00:00:00+00:00", status="ok")
    progress.start([("a", "a")], 1)
    progress.finish("a", stored, reused=True)
    progress.end()
    assert heard == ["a"]
