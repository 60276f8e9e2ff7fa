"""What a cheat does to its neighbours: an honest network timed beside one that keeps a core busy, and a quiet one.

Run ``python benchmarks/neighbours.py [--trials N] [--budget SECONDS]`` on an otherwise idle machine. In each trial new
workers of the honest network are timed in rounds twice, once beside each neighbour, in changing order. Printed are its
times in anchors with their 95 % intervals, and how often the two intervals do not touch: with equal networks and the
spread of processes that is assumed, one trial in about two hundred.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.images import list_images, read_rgb
from harness.engines import Job, LocalEngine
from harness.submissions.discovery import Submission, discover
from harness.timing import Contender, FrameSource, Rounds, bootstrap_interval, protocol_for, round_ratios
from harness.tracks.significance import NORMAL_REACH, PROCESS_SPREAD

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from zoo.build import build_zoo

ROOT = Path(__file__).resolve().parent.parent
SIZE = (200, 320)
HONEST = "honest_trained"
NEIGHBOURS = {"spinning": "spins_other_cores", "quiet": "honest_nearest"}


@dataclass(frozen=True)
class Timed:
    """The honest network's time in anchors, its interval, and what became of the neighbour."""

    ratio: float
    low: float
    high: float
    neighbour: str


def time_beside(folders: dict[str, Path], neighbour: str, budget_s: float) -> Timed:
    """Start workers of the honest network, a neighbour and the anchor, and time them in rounds."""
    frames = [read_rgb(path)[: SIZE[0], : SIZE[1]] for path in list_images(ROOT / "harness" / "data" / "embedded")]
    with ExitStack() as stack:
        contenders = {}
        places = {name: folders[name] for name in (HONEST, neighbour)}
        for name, folder in {**places, "anchor": ROOT / "harness" / "timing" / "anchor"}.items():
            (submission,) = discover([folder], entry_points=False)
            assert isinstance(submission, Submission)
            session = stack.enter_context(LocalEngine().open(Job(submission, scale=2)))
            session.load()
            session.pause()
            contenders[name] = Contender(name, session)
        anchor = contenders.pop("anchor")
        protocol = protocol_for("cpu", budget_s=budget_s)
        rounds = Rounds(list(contenders.values()), anchor, FrameSource(frames), protocol, 2, threads=1)
        rounds.run()
        honest, other = contenders[HONEST], contenders[neighbour]
        if honest.error is not None:
            raise honest.error
        values = round_ratios(honest.record(rounds.session)).values
        middle = float(np.median(values))
        low, high = bootstrap_interval(values, "median")
        own = NORMAL_REACH * PROCESS_SPREAD * middle  # what two processes of one network differ by
        reach = [float(np.hypot(side, own)) for side in (middle - low, high - middle)]
        return Timed(middle, middle - reach[0], middle + reach[1], other.error.what if other.error else "not flagged")


def main() -> None:
    """Run the trials and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--budget", type=float, default=4.0, help="seconds for each network")
    options = parser.parse_args()
    apart, changes = 0, []
    with tempfile.TemporaryDirectory() as place:
        built = {case.folder: case.path for case in build_zoo(Path(place) / "zoo")}
        folders = {name: built[name] for name in (HONEST, *NEIGHBOURS.values())}
        for number in range(options.trials):
            order = list(NEIGHBOURS) if number % 2 else list(reversed(NEIGHBOURS))
            found = {kind: time_beside(folders, NEIGHBOURS[kind], options.budget) for kind in order}
            spinning, quiet = found["spinning"], found["quiet"]
            touch = spinning.low <= quiet.high and quiet.low <= spinning.high
            apart += not touch
            changes.append(spinning.ratio / quiet.ratio - 1)
            for kind, one in found.items():
                print(f"{number + 1:3}: beside the {kind:8} {one.ratio:.4f} [{one.low:.4f}, {one.high:.4f}]", end="  ")
            print("" if touch else "apart", f"({spinning.neighbour})", flush=True)
    print(f"apart in {apart} of {options.trials}; the median change is {np.median(changes):+.2%}")


if __name__ == "__main__":
    main()
