"""The whole zoo in one run, with honest networks between: every row as expected, and no honest one disturbed.

Once in the sandbox and once without, at the same time. What only a sandbox holds is left out of the second. The first
is a ``harness check``, the second a ``harness run``, so that both can be compared.
"""

import contextlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from patience import soon
from PIL import Image
from zoo.build import build_zoo, expectations

from harness.engines import Job, LocalEngine
from harness.isolation.limits import Limits
from harness.isolation.sandbox import bwrap_problem
from harness.isolation.session import Session
from harness.pipeline import run
from harness.results import Entry, Measurement
from harness.run.assemble import score_and_rank
from harness.run.bicubic_reference import Reference
from harness.run.checking import Check, check_planned
from harness.run.context import MeasuredSubmission
from harness.run.plan import Plan, RunRequest, make_plan
from harness.submissions.discovery import Submission
from harness.timing import PROTOCOLS
from harness.tracks import get_track

LIMITS = Limits(memory_bytes=3 << 30, file_bytes=64 << 20, tmp_bytes=64 << 20)
HANG_S, PATIENCE_S = 4.0, 240.0
HONEST = ["honest_bicubic", "honest_nearest", "honest_trained"]
ONLY_A_SANDBOX_HOLDS = {
    "fills_inodes",
    "fills_inodes_with_folders",
    "deletes_itself",
    "kills_all",
    "kills_parent",
    "reads_home",
    "reads_passwd",
    "reads_reports",
    "searches_images",
    "sees_network",
    "writes_beside_itself",
}
ISOLATION = {"bwrap": "bubblewrap", "process": "process with limits"}

pytestmark = pytest.mark.timeout(1200)


EXPECTED = expectations()
ROOT = Path(__file__).resolve().parents[2]
SUBMITTED = sorted(folder.parent.name for folder in ROOT.glob("submissions/*/submission.toml"))


class Impatient(LocalEngine):
    """Gives those that hang a few seconds only, and all of them small limits."""

    def open(self, job: Job) -> Session:
        """Start a worker."""
        hangs = EXPECTED.get(job.submission.root.name, {}).get("type") == "Timeout"
        return super().open(replace(job, timeout_s=HANG_S if hangs else PATIENCE_S, limits=LIMITS))


@dataclass(frozen=True)
class Outcome:
    """One run: its rows by folder of the zoo, and what it says of each image of the honest networks."""

    rows: dict[str, Entry]
    quality: list[str]
    checks: dict[str, Check]
    seconds: float


def write_images(folder: Path) -> None:
    """Write smooth images, on which interpolation is better than repeated pixels, smaller than the timed frames."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((64, 48))
        coarse.resize((128, 96), Image.Resampling.BICUBIC).save(folder / f"{index}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("zoo")
    write_images(folder / "images")
    build_zoo(folder / "submissions")
    for name in SUBMITTED:
        shutil.copytree(ROOT / "submissions" / name, folder / "submissions" / name)
    small = replace(get_track("ntire23-x2"), input_shape=(1, 3, 96, 128))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.run.plan.track_for_scale", lambda scale: small)
        patch.setitem(PROTOCOLS, "robust", replace(PROTOCOLS["robust"], turn_s=0.005))
        patch.setattr("harness.machine.load._INTERVAL_S", 0.05)
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("private")))  # apart from other runs here
        patch.setattr("harness.isolation.launcher.bound_cores", lambda threads: [])  # module-wide, before any test's
        patch.setenv("HARNESS_CACHE_DIR", str(folder / "cache"))
        yield folder


def measure(place: Path, names: list[str], sandbox: str, out: str, *, by_check: bool = False) -> Outcome:
    begin = time.monotonic()
    folders = [found for name in names for found in place.glob(f"submissions/{name}*") if found.stem == name]
    request = RunRequest(
        submissions=tuple(folders),
        dataset=str(place / "images"),
        out=place / out,
        threads=1,
        device="cpu",
        protocol="robust",
        time_budget_s=1.5,
        with_baselines=False,
        sandbox=sandbox,  # type: ignore[arg-type]
    )
    plan = make_plan(request)
    names_of = {planned.submission.slug: folder_of(planned.submission) for planned in plan.submissions}
    checks = check(plan) if by_check else {}
    entries = run(request, engine=Impatient()).run.entries if not by_check else assembled(plan, checks)
    rows = {names_of[entry.slug]: entry for entry in entries}
    assert set(rows) == set(names)
    lines = [] if by_check else (place / out / "per_image.csv").read_text().splitlines()
    by_name = {names_of[slug]: one for slug, (one, _) in checks.items()}
    return Outcome(rows, [line for line in lines if line.startswith("honest")], by_name, time.monotonic() - begin)


def check(plan: Plan) -> dict[str, tuple[Check, Measurement]]:
    """Check what is planned, and return what was found and measured, by slug."""
    checked = check_planned(plan, engine=Impatient())
    return {planned.submission.slug: one for planned, one in zip(plan.submissions, checked, strict=True)}


def assembled(plan: Plan, checks: dict[str, tuple[Check, Measurement]]) -> list[Entry]:
    """Return the rows that a run makes of the measurements of a check."""
    measured = [MeasuredSubmission(planned, checks[planned.submission.slug][1]) for planned in plan.submissions]
    return score_and_rank(plan, measured, Reference(30.0, "measured")).entries


def folder_of(found: object) -> str:
    if not isinstance(found, Submission):
        return found.path.stem  # type: ignore[attr-defined]
    return found.name if found.origin == "zip" else found.root.name


def beside(work: Callable[[], Outcome]) -> Future[Outcome]:
    """Do something in a thread that nobody waits for at the end: a run that hangs must not hang the tests."""
    future: Future[Outcome] = Future()

    def carry_out() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    return future


@pytest.fixture(scope="module")
def outcomes(place: Path) -> dict[str, Outcome]:
    """Return the outcome in each confinement that there is here, and of the honest networks by themselves."""
    held = [name for name in EXPECTED if name not in ONLY_A_SANDBOX_HOLDS]
    work = {"process": beside(lambda: measure(place, [*held, *SUBMITTED], "process", "in-process"))}
    if bwrap_problem() is None:
        work["bwrap"] = beside(lambda: measure(place, [*EXPECTED, *SUBMITTED], "bwrap", "in-sandbox", by_check=True))
    done = {name: future.result(1000) for name, future in work.items()}
    return {**done, "alone": measure(place, HONEST, "process", "alone")}


def as_expected(row: Entry, wanted: dict) -> list[str]:
    """Return what is wrong with a row."""
    message = row.error.message if row.error else ""
    if wanted.get("second_core") and row.status == "ok":
        return []
    wrong = [] if row.status == wanted["status"] else [f"is {row.status}, not {wanted['status']}"]
    for key in ("stage", "type"):
        found = getattr(row.error, key, None)
        wrong += [] if wanted.get(key) in (None, found) else [f"{key} is {found}, not {wanted[key]}"]
    if not re.search(wanted.get("match", ""), message, re.DOTALL):
        wrong.append(f"has no {wanted['match']!r}")
    if "note" in wanted and not any(re.search(wanted["note"], note) for note in row.notes):
        wrong.append(f"has no note {wanted['note']!r}, but {row.notes}")
    return [f"{'; '.join(wrong)}: {message[:300]}"] if wrong else []


def check_rows(outcome: Outcome, sandbox: str) -> None:
    rows = outcome.rows
    wrong = {name: found for name in rows.keys() & EXPECTED if (found := as_expected(rows[name], EXPECTED[name]))}
    assert wrong == {}
    assert {rows[name].status for name in SUBMITTED} == {"ok", "unsupported"}  # not all have weights for x2
    isolated = {row.isolation for row in outcome.rows.values() if row.isolation}
    assert isolated == {ISOLATION[sandbox]}
    without = [name for name, row in outcome.rows.items() if row.status == "ok" and not row.isolation]
    assert without == []


def test_what_only_a_sandbox_holds_is_listed() -> None:
    assert {name for name, expected in EXPECTED.items() if expected.get("sandbox")} == ONLY_A_SANDBOX_HOLDS
    assert len(EXPECTED) - len(ONLY_A_SANDBOX_HOLDS) > 40


def test_every_row_of_the_zoo_in_plain_processes(outcomes: dict[str, Outcome]) -> None:
    check_rows(outcomes["process"], "process")


@pytest.mark.skipif(bwrap_problem() is not None, reason=f"no sandbox: {bwrap_problem()}")
def test_every_row_of_the_zoo_in_the_sandbox(outcomes: dict[str, Outcome]) -> None:
    check_rows(outcomes["bwrap"], "bwrap")


def test_the_zoo_does_not_change_a_bit_of_an_honest_networks_quality(outcomes: dict[str, Outcome]) -> None:
    alone = outcomes["alone"]
    assert len(alone.quality) == 2 * len(HONEST)
    assert outcomes["process"].quality == alone.quality
    for outcome in outcomes.values():
        for name in HONEST:
            assert outcome.rows[name].psnr_rgb == alone.rows[name].psnr_rgb
            assert outcome.rows[name].ssim_y == alone.rows[name].ssim_y


@pytest.mark.skipif(bwrap_problem() is not None, reason=f"no sandbox: {bwrap_problem()}")
def test_check_and_run_agree(outcomes: dict[str, Outcome]) -> None:
    checks, rows = outcomes["bwrap"].checks, outcomes["process"].rows
    assert set(rows) < set(checks)
    sound = {name: is_sound(row) for name, row in rows.items()}
    sound |= {name: EXPECTED[name]["status"] == "ok" for name in ONLY_A_SANDBOX_HOLDS}
    assert {name: one.passed for name, one in checks.items()} == sound
    assert {name: one.name for name, one in checks.items() if not one.findings} == {}


def is_sound(row: Entry) -> bool:
    """Return whether a row is what its submission can be: with weights, and in the right value range."""
    if row.error is not None:
        return row.error.type == "NoWeights"  # measured and not scored, of which a check warns
    return not any("would reach" in note for note in row.notes)


def left_behind() -> list[str]:
    """Return the workers that still run and the private folders that are still there."""
    left = [str(folder) for folder in Path(tempfile.gettempdir()).glob("sr-harness-*")]
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended while it was looked at
            command = " ".join(process.cmdline())
            left += [command] if "harness.worker.main" in command else []
    return left


def test_nothing_is_left_running_and_no_temporary_folder_behind(outcomes: dict[str, Outcome]) -> None:
    soon(lambda: not left_behind())  # on a busy machine the kernel takes a while to bury the killed
    assert left_behind() == []
    assert not Path("/tmp/unpickled").exists()
