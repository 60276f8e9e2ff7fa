"""A program that runs on a small disk, lets it fill up, makes room and runs again; it prints what came of each.

Started by ``test_full_disk.py`` where ``--tmpfs`` of bubblewrap has put such a disk.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from harness.engines import LocalEngine
from harness.errors import HarnessError
from harness.pipeline import run
from harness.results import Measurement
from harness.run import plan
from harness.run.plan import RunRequest
from harness.run.progress import ProgressEvent, SubmissionFinished
from harness.tracks import get_track


class Filling:
    """Fills the disk when the first submission is done."""

    def __init__(self, ballast: Path) -> None:
        self.ballast = ballast
        self.measured: list[str] = []

    def __call__(self, event: ProgressEvent) -> None:
        if isinstance(event, SubmissionFinished) and not event.reused:
            self.measured.append(event.name)
        if not self.ballast.exists() and self.measured == ["a"]:
            fill(self.ballast)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 12)):
                pass
        except OSError:
            return


def attempt(request: RunRequest, ballast: Path) -> dict:
    listener = Filling(ballast)
    try:
        finished = run(request, [listener], LocalEngine())
    except HarnessError as error:
        return {"error": type(error).__name__, "message": str(error), "measured": listener.measured}
    statuses = {entry.name: entry.status for entry in finished.run.entries}
    return {"measured": listener.measured, "statuses": statuses}


def main() -> None:
    submissions, images, disk = map(Path, sys.argv[1:])
    small = replace(get_track("ntire23-x2"), input_shape=(1, 3, 24, 32))
    plan.track_for_scale = lambda scale: small
    request = RunRequest(
        submissions=(submissions,),
        dataset=str(images),
        out=disk / "run",
        threads=1,
        device="cpu",
        protocol="ntire23-cpu",
        time_budget_s=0.05,
        with_baselines=False,
        sandbox="process",
    )
    ballast = disk / "ballast"
    print(json.dumps(attempt(request, ballast)))
    for path in (disk / "run" / "measurements").iterdir():
        Measurement.model_validate_json(path.read_bytes())
    ballast.write_bytes(b"")
    print(json.dumps(attempt(request, ballast)))


if __name__ == "__main__":
    main()
