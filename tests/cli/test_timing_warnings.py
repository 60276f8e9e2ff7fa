"""What makes times unreliable is said once, before anything is timed, and not where nothing is."""

from harness.cli.terminal import Forewarned
from harness.results import Measurement
from harness.run.progress import Silent


class Heard(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def submission_begins(self, name: str) -> None:
        self.heard.append(name)

    def stage(self, name: str, detail: str = "", *, done: float) -> None:
        self.heard.append(f"{name} {detail} {done}")


def test_the_warning_comes_once_before_the_first_stage() -> None:
    told = Heard()
    listener = Forewarned(told, lambda: told.heard.append("warning"))
    listener.run_begins(2, 1)
    listener.submission_begins("a")
    listener.stage("start", done=0.0)
    listener.stage("time", "at 8x8", done=0.2)
    assert told.heard == ["a", "warning", "start  0.0", "time at 8x8 0.2"]


def test_a_run_of_nothing_new_is_not_warned_of() -> None:
    told = Heard()
    listener = Forewarned(told, lambda: told.heard.append("warning"))
    stored = Measurement(fingerprint="f", created="2026-01-01T00:00:00+00:00", status="ok")
    listener.submission_begins("a")
    listener.submission_ends("a", stored, reused=True)
    listener.run_ends()
    assert told.heard == ["a"]
