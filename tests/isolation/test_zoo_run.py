"""The zoo in one run, with honest networks between: every row as expected, and no honest one disturbed.

One in twenty-four of the folders is run in the sandbox if there is one. Two runs share them, each with the honest
networks, so that two processors have work. Some folders are also checked as by ``harness check``. The marker
``nightly`` selects runs of all folders, in the sandbox and in plain processes, from which is left out what only a
sandbox holds, and a check of every folder.
"""

import contextlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
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
from harness.machine.load import busy_share
from harness.pipeline import run
from harness.results import Entry, Measurement
from harness.run.assemble import score_and_rank
from harness.run.bicubic_reference import BicubicReference
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
CHECKED = [
    "checkpoint_truncated",
    "declares_wrong_range",
    "exit_in_forward",
    "honest_trained",
    "keys_extra",
    "loops_in_forward",
    "manifest_many_mistakes",
    "memory_bomb",
    "nan_output",
    "no_weights",
    "wrong_scale",
    "zip_slip",
]
"""Folders whose check is compared with their row: each stage, each status that a check can tell, and sound ones."""
ISOLATION = {"bwrap": "bubblewrap", "process": "process with limits"}

SANDBOX = "process" if bwrap_problem() else "bwrap"

pytestmark = pytest.mark.timeout(3000)


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
        # Long enough for several calls a turn on a crowded machine: with one call some cheats have nothing to keep.
        patch.setitem(PROTOCOLS, "robust", replace(PROTOCOLS["robust"], turn_s=0.02))
        patch.setattr("harness.engines.this_machine.busy_share", lambda: busy_share(0.05))
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
        images="none",
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
    honest = [line for line in lines if line.startswith("honest")]
    return Outcome(rows, honest, by_name, time.monotonic() - begin)


def check(plan: Plan) -> dict[str, tuple[Check, Measurement]]:
    """Check what is planned, and return what was found and measured, by slug."""
    checked = check_planned(plan, engine=Impatient())
    return {planned.submission.slug: one for planned, one in zip(plan.submissions, checked, strict=True)}


def assembled(plan: Plan, checks: dict[str, tuple[Check, Measurement]]) -> list[Entry]:
    """Return the rows that a run makes of the measurements of a check."""
    measured = [MeasuredSubmission(planned, checks[planned.submission.slug][1]) for planned in plan.submissions]
    return score_and_rank(plan, measured, BicubicReference(30.0, "measured")).entries


def folder_of(found: object) -> str:
    if isinstance(found, Submission) and found.origin == "zip":
        return found.name
    parts = (found.root if isinstance(found, Submission) else found.path).parts  # type: ignore[attr-defined]
    return Path(parts[parts.index("submissions") + 1]).stem


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


def at_once(*work: Callable[[], Outcome]) -> list[Outcome]:
    """Do several things at the same time."""
    return [future.result(8500) for future in [beside(one) for one in work]]


def held_by(sandbox: str, names: Iterable[str]) -> list[str]:
    """Return those that do no harm in this confinement."""
    return [name for name in names if sandbox == "bwrap" or name not in ONLY_A_SANDBOX_HOLDS]


def sampled(names: list[str]) -> list[str]:
    """Return a part of the folders, and those that are checked; the nightly tests run all."""
    return [name for number, name in enumerate(names) if number % 24 == 0 or name in CHECKED]


def in_halves(
    place: Path, names: list[str], out: str, *, sandbox: str = SANDBOX, by_check: bool = False
) -> list[Outcome]:
    """Return the outcomes of two runs, between which the folders are divided; the honest ones are in both."""
    first, second = ([*dict.fromkeys([*names[start::2], *HONEST])] for start in (0, 1))
    return at_once(
        lambda: measure(place, first, sandbox, f"first-{out}", by_check=by_check),
        lambda: measure(place, second, sandbox, f"second-{out}", by_check=by_check),
    )


@pytest.fixture(scope="module")
def outcomes(place: Path) -> list[Outcome]:
    """Return the outcomes of a part of the zoo."""
    return in_halves(place, sampled(held_by(SANDBOX, EXPECTED)), "part")


@pytest.fixture(scope="module")
def beside_it(place: Path, outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcome of the honest networks by themselves, and of the checks of some folders."""
    return at_once(
        lambda: measure(place, HONEST, SANDBOX, "alone"),
        lambda: measure(place, CHECKED, SANDBOX, "checked", by_check=True),
    )


@pytest.fixture(scope="module")
def in_processes(place: Path) -> list[Outcome]:
    """Return the outcomes of two runs of all folders and of the shipped networks without a sandbox."""
    return in_halves(place, [*held_by("process", EXPECTED), *SUBMITTED], "in-processes", sandbox="process")


def as_expected(row: Entry, wanted: dict) -> list[str]:
    """Return what is wrong with a row."""
    message = row.error.message if row.error else ""
    if row.status == "ok" and wanted.get("second_core"):
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
    assert {row.isolation for row in rows.values() if row.isolation} == {ISOLATION[sandbox]}
    assert [name for name, row in rows.items() if row.status == "ok" and not row.isolation] == []


def test_what_only_a_sandbox_holds_is_listed() -> None:
    assert {name for name, expected in EXPECTED.items() if expected.get("sandbox")} == ONLY_A_SANDBOX_HOLDS
    assert len(EXPECTED) - len(ONLY_A_SANDBOX_HOLDS) > 40


def test_rows_of_a_part_of_the_zoo(outcomes: list[Outcome]) -> None:
    assert {name for one in outcomes for name in one.rows} == {*sampled(held_by(SANDBOX, EXPECTED)), *HONEST}
    for outcome in outcomes:
        check_rows(outcome, SANDBOX)


@pytest.mark.slow  # -m "not slow" replaces the selection that leaves out the nightly ones
@pytest.mark.nightly
@pytest.mark.timeout(9000)
def test_every_row_of_the_zoo(place: Path, beside_it: list[Outcome]) -> None:
    whole = in_halves(place, held_by(SANDBOX, EXPECTED), "whole")
    assert {name for one in whole for name in one.rows} == set(held_by(SANDBOX, EXPECTED))
    for outcome in whole:
        check_rows(outcome, SANDBOX)
        check_quality(outcome, beside_it[0])


def test_the_zoo_does_not_change_a_bit_of_an_honest_networks_quality(
    outcomes: list[Outcome], beside_it: list[Outcome]
) -> None:
    alone = beside_it[0]
    assert {name: alone.rows[name].error for name in HONEST} == dict.fromkeys(HONEST)
    assert len(alone.quality) == 2 * len(HONEST)
    for outcome in outcomes:
        check_quality(outcome, alone)


def check_quality(outcome: Outcome, alone: Outcome) -> None:
    assert outcome.quality == alone.quality
    for name in HONEST:
        assert outcome.rows[name].psnr_rgb == alone.rows[name].psnr_rgb
        assert outcome.rows[name].ssim_y == alone.rows[name].ssim_y


def test_check_and_run_agree(outcomes: list[Outcome], beside_it: list[Outcome]) -> None:
    rows = rows_of(outcomes)
    check_agreement(beside_it[1].checks, {name: rows[name] for name in CHECKED})


def check_agreement(checks: dict[str, Check], rows: dict[str, Entry]) -> None:
    # A second processor can be used where one is free, so these may be found in one of the two and not in the other.
    alike = [name for name in checks if not EXPECTED.get(name, {}).get("second_core")]
    assert {name: checks[name].passed for name in alike} == {name: is_sound(rows[name]) for name in alike}
    assert {name: one.name for name, one in checks.items() if not one.findings} == {}


@pytest.mark.slow  # -m "not slow" replaces the selection that leaves out the nightly ones
@pytest.mark.nightly
@pytest.mark.timeout(9000)
def test_every_row_of_the_zoo_in_plain_processes(in_processes: list[Outcome], beside_it: list[Outcome]) -> None:
    for outcome in in_processes:
        check_rows(outcome, "process")
        check_quality(outcome, beside_it[0])
    assert {rows_of(in_processes)[name].status for name in SUBMITTED} == {"ok", "unsupported"}  # not all have x2


@pytest.mark.slow  # -m "not slow" replaces the selection that leaves out the nightly ones
@pytest.mark.nightly
@pytest.mark.timeout(9000)
def test_check_and_run_agree_on_every_folder(place: Path, in_processes: list[Outcome]) -> None:
    rows = rows_of(in_processes)
    checked = in_halves(place, list(rows), "all-checked", sandbox="process", by_check=True)
    check_agreement({name: one for half in checked for name, one in half.checks.items()}, rows)


def rows_of(outcomes: list[Outcome]) -> dict[str, Entry]:
    return {name: row for one in outcomes for name, row in one.rows.items()}


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


def test_nothing_is_left_running_and_no_temporary_folder_behind(beside_it: list[Outcome]) -> None:
    soon(lambda: not left_behind())  # on a busy machine the kernel takes a while to bury the killed
    assert left_behind() == []
    assert not Path("/tmp/unpickled").exists()
