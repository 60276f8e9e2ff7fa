"""Measure the false positive rate of the timing checks: how often honest networks are disqualified.

Run ``python benchmarks/honest.py [--runs N] [--budget SECONDS] [--whole] [--protocol NAME]``. The networks are those
in `submissions/`, the baselines, and the honest test cases in `tests/zoo`. Frames are small. Workers are started once
and timed in rounds N times with all checks; with ``--whole``, each run starts new workers and upscales images as well.
Networks that are disqualified or fail are printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import harness.run.plan
from harness.data.images import list_images, read_rgb, write_png
from harness.engines import LocalEngine
from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.session import Session
from harness.pipeline import run
from harness.run.jobs import job_for
from harness.run.plan import Plan, RunRequest, make_plan
from harness.submissions.discovery import Submission, discover
from harness.timing import FrameSource
from harness.timing.network_state import NetworkState, ProcessTiming
from harness.timing.round_settings import RoundSettings
from harness.timing.rounds import Rounds
from harness.tracks import track_for_scale

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from zoo.build import build_zoo

ROOT = Path(__file__).resolve().parent.parent
TIMED_SIZE = (96, 160)
CROP = (160, 240)  # of HR images, so that scored frames are smaller than timed ones
IMAGES = 3


def small_track(scale: int) -> harness.run.plan.Track:
    """Return the track for a scale with a small timed frame."""
    return replace(track_for_scale(scale), input_shape=(1, 3, *TIMED_SIZE))


def honest_submissions(folder: Path) -> tuple[Path, ...]:
    """Build the test cases in `folder`; return the honest ones and the project's own submissions.

    Left out are cheats that recognise frames by parts of them. Where they err, their output is wrong, and they are
    rightly disqualified.
    """
    cases = [case for case in build_zoo(folder) if case.status == "ok" and not case.sandbox]
    return (ROOT / "submissions", *(case.path for case in cases if not case.path.name.startswith("keeps_result_of")))


def write_images(folder: Path) -> None:
    """Write small crops of the embedded images."""
    folder.mkdir()
    for path in list_images(ROOT / "harness" / "data" / "embedded")[:IMAGES]:
        write_png(folder / f"{path.stem}.png", read_rgb(path)[: CROP[0], : CROP[1]].copy())


def whole_run(request: RunRequest) -> list[tuple[str, str, str]]:
    """Execute a complete run and return name, status and message of each row."""
    entries = run(replace(request, fresh=True)).run.entries
    return [(row.name, row.status, row.error.message if row.error else "") for row in entries]


@dataclass(frozen=True)
class Loaded:
    """Workers with loaded networks, ready to be timed."""

    plan: Plan
    anchor: Session
    sessions: list[tuple[str, Session]]

    def time(self) -> list[tuple[str, str, str]]:
        """Time all in rounds, and return name, status and message of each."""
        networks = [NetworkState(name, ProcessTiming(session)) for name, session in self.sessions]
        anchor = NetworkState("anchor", ProcessTiming(self.anchor))
        settings = RoundSettings(self.plan.protocol, self.plan.track.scale, threads=self.plan.device.threads)
        Rounds(networks, anchor, FrameSource(self.plan.timing_frames()), settings).run()
        return [(one.slug, _status(one.error), one.error.what if one.error else "") for one in networks]


def _status(error: WorkerError | None) -> str:
    if error is None:
        return "ok"
    return "disqualified" if error.kind == DISQUALIFIED else "failed"


def load_all(plan: Plan, stack: ExitStack) -> Loaded:
    """Start a worker for each network, load the network and reparameterize it."""

    def opened(submission: Submission) -> tuple[str, Session]:
        job = job_for(plan, submission, plan.protocol.precision, None)
        session = stack.enter_context(LocalEngine().open(job))
        session.load()
        try:
            session.reparameterize(plan.proof_frames(), sizes=plan.used_sizes())
        except WorkerError:
            # As in a run: a network whose process ends in the search for a collapse is measured as it is.
            session = stack.enter_context(LocalEngine().open(job))
            session.load()
        session.pause()
        return submission.name, session

    (anchor,) = discover([ROOT / "harness" / "timing" / "anchor"], entry_points=False)
    assert isinstance(anchor, Submission)
    found = [one.submission for one in plan.submissions if isinstance(one.submission, Submission)]
    wanted = [submission for submission in found if plan.track.scale in submission.manifest.scales]
    return Loaded(plan, opened(anchor)[1], [opened(submission) for submission in wanted])


def main() -> None:
    """Time the networks repeatedly and print those that fail or are disqualified."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--protocol", default="robust", help="for --whole")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each network")
    parser.add_argument("--whole", action="store_true", help="start new workers in every run, and upscale images")
    options = parser.parse_args()
    harness.run.plan.track_for_scale = small_track
    timed, disqualified = 0, 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_images(folder / "images")
        request = RunRequest(
            submissions=honest_submissions(folder / "zoo"),
            scale=2,
            dataset=str(folder / "images"),
            out=folder / "run",
            device="cpu",
            threads=1,
            protocol=options.protocol if options.whole else "robust",
            time_budget_s=options.budget,
            images="none",
        )
        again = partial(whole_run, request) if options.whole else load_all(make_plan(request), stack).time
        for number in range(1, options.runs + 1):
            begin = time.monotonic()
            rows = again()
            timed += sum(status == "ok" for _, status, _ in rows)
            disqualified += sum(status == "disqualified" for _, status, _ in rows)
            for name, status, message in rows:
                if status in {"failed", "disqualified"}:
                    print(f"run {number}: {name}: {status}: {message.splitlines()[0]}", flush=True)
            spent = time.monotonic() - begin
            print(f"{number} run(s): {timed} honest, {disqualified} disqualified ({spent:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
