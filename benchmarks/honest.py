"""How often honest networks are taken for cheats: all that are honest, run again and again.

Run ``python benchmarks/honest.py [--runs N] [--protocol NAME] [--budget SECONDS]``. The networks are those of
`submissions/`, the baselines, and the zoo's odd but honest ones. Frames are small, so that a run takes a few minutes;
workers and checks are those of a real run. Every row that is disqualified or fails is printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import harness.plan
from harness.data.images import list_images, read_rgb, write_png
from harness.pipeline import run
from harness.plan import RunRequest
from harness.results import Entry
from harness.tracks import track_for_scale

ROOT = Path(__file__).resolve().parent.parent
TIMED_SIZE = (96, 160)
CROP = (160, 240)  # of HR images: what is scored is smaller than what is timed
IMAGES = 3


def small_track(scale: int) -> harness.plan.Track:
    """Return the track of a scale with a small timed frame."""
    return replace(track_for_scale(scale), input_shape=(1, 3, *TIMED_SIZE))


def zoo_builder() -> ModuleType:
    """Return the module that builds the zoo."""
    spec = importlib.util.spec_from_file_location("zoo_of_the_honest", ROOT / "tests" / "zoo" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def honest_submissions(folder: Path) -> tuple[Path, ...]:
    """Build the zoo in `folder`; return its honest submissions and the project's own."""
    cases = zoo_builder().build_zoo(folder)
    return (ROOT / "submissions", *(case.path for case in cases if case.status == "ok" and not case.sandbox))


def write_images(folder: Path) -> None:
    """Write small crops of the embedded images."""
    folder.mkdir()
    for path in list_images(ROOT / "harness" / "data" / "embedded")[:IMAGES]:
        write_png(folder / f"{path.stem}.png", read_rgb(path)[: CROP[0], : CROP[1]].copy())


def run_once(submissions: tuple[Path, ...], images: Path, protocol: str, budget_s: float) -> list[Entry]:
    """Measure all, and return the rows."""
    with tempfile.TemporaryDirectory() as folder:
        request = RunRequest(
            submissions=submissions,
            scale=2,
            dataset=str(images),
            out=Path(folder) / "run",
            device="cpu",
            threads=1,
            protocol=protocol,
            time_budget_s=budget_s,
            images="none",
        )
        return run(request).run.entries


def main() -> None:
    """Run, and print what was flagged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--protocol", default="robust")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each network")
    options = parser.parse_args()
    harness.plan.track_for_scale = small_track
    timed, disqualified = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        submissions = honest_submissions(Path(folder) / "zoo")
        write_images(Path(folder) / "images")
        for number in range(1, options.runs + 1):
            begin = time.monotonic()
            rows = run_once(submissions, Path(folder) / "images", options.protocol, options.budget)
            timed += sum(row.runtime_ms is not None for row in rows)
            disqualified += sum(row.status == "disqualified" for row in rows)
            for row in rows:
                if row.error is not None and row.status in {"failed", "disqualified"}:
                    print(f"run {number}: {row.name}: {row.status}: {row.error.message.splitlines()[0]}", flush=True)
            spent = time.monotonic() - begin
            print(f"{number} run(s): {timed} rows timed, {disqualified} disqualified ({spent:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
