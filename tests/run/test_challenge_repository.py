"""A clone of a challenge's repository: one command, no file added, each team its row, in the sandbox of every run."""

from dataclasses import replace

import pytest
from challenge_repositories import LAYOUTS

from harness.pipeline import run
from harness.run.plan import RunRequest, make_plan
from harness.submissions.skeleton import create
from harness.tracks import get_track

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def rows(request, tmp_path, images, monkeypatch):
    """Return the rows of a run of the repositories in some layouts, by their team."""
    small = replace(get_track("ntire23-x2"), scale=4, input_shape=(1, 3, 24, 32))
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda scale: small)
    repositories = [LAYOUTS[year](tmp_path / year) for year in request.param]
    done = run(
        RunRequest(
            submissions=tuple(repositories),
            dataset=str(images),
            out=tmp_path / "run",
            threads=1,
            device="cpu",
            protocol="ntire23-cpu",
            time_budget_s=0.05,
            with_baselines=False,
            memory_bytes=1 << 40,
        )
    )
    return {entry.name: entry for entry in done.run.entries}


def check(rows, plain: str, lacks: str, fails: str) -> None:
    assert [rows[name].status for name in (plain, lacks, fails)] == ["ok", "unsupported", "failed"]
    assert rows[plain].rank is not None
    assert rows[plain].params == 1
    assert rows[lacks].error is not None
    assert rows[fails].error is not None
    assert rows[fails].error.stage == "load"


@pytest.mark.parametrize("rows", [("2026",)], indirect=True)
def test_the_latest_layout(rows):
    check(rows, "001_Plain", "02_Lacks", "03_Crashes")
    assert "pip install mamba-ssm" in rows["02_Lacks"].error.message


@pytest.mark.nightly
@pytest.mark.parametrize("rows", [("2022",), ("2024",), ("2025",)], indirect=True)
def test_earlier_layouts(rows):
    check(rows, "01_Plain", "02_Lacks", next(name for name in rows if name.startswith("03")))


def test_a_run_takes_the_scale_of_all_teams(tmp_path):
    repository = LAYOUTS["2025"](tmp_path / "repository")
    plan = make_plan(RunRequest((repository,), device="cpu", with_baselines=False))
    assert plan.track.scale == 4
    assert plan.note == "measured at x4: no --scale was given, and no submission is for x2"
    plan = make_plan(RunRequest((repository,), device="cpu", scale=2))
    assert (plan.track.scale, plan.note) == (2, "")
    plan = make_plan(RunRequest((repository, create("Own", tmp_path)), device="cpu"))
    assert (plan.track.scale, plan.note) == (2, "")
