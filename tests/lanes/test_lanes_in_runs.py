"""A lane in a whole run: what is stored, what is measured again, what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.engines import InlineEngine, Job, LocalEngine
from harness.errors import UsageError, WorkerError
from harness.pipeline import run
from harness.plan import RunRequest, make_plan
from harness.results import Measurement
from harness.submissions.discovery import discover
from harness.tracks import Candidate, get_track, make_entries

CONV = """
import torch
from torch import nn

def srmodel(scale=2):
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, 1, 1), nn.PixelShuffle(scale))
"""


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    folder = tmp_path / "submissions" / "one"
    folder.mkdir(parents=True)
    (folder / "arch.py").write_text(CONV)
    (folder / "submission.toml").write_text('[submission]\nname = "one"\nscales = [2]\n')
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for side in (48, 64):
        values = np.random.default_rng(side).integers(0, 256, (side, 72, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{side}.png")
    return folder


@pytest.fixture
def request_for(tmp_path: Path, submission: Path, images: Path) -> Callable[..., RunRequest]:
    def make(lane: str, **changes: object) -> RunRequest:
        return RunRequest(
            (submission,), dataset=str(images), out=tmp_path / "run", threads=1, device="cpu", time_budget_s=0.05,
            with_baselines=False, lane=lane, **changes,
        )  # fmt: skip

    return make


def test_another_lane_is_another_measurement(request_for) -> None:
    eager, again, other = (make_plan(request_for(lane)) for lane in ("eager", "eager", "channels_last"))
    assert eager.submissions[0].fingerprint == again.submissions[0].fingerprint
    assert eager.submissions[0].fingerprint != other.submissions[0].fingerprint
    assert other.protocol_info().lane == "channels_last"


def test_a_lane_that_the_machine_lacks_is_said_before_anything_runs(request_for) -> None:
    with pytest.raises(UsageError, match="--lane cuda-graph captures a CUDA graph, and the device is cpu"):
        make_plan(request_for("cuda-graph"))
    with pytest.raises(UsageError, match="there is no lane 'fast'"):
        make_plan(request_for("fast"))


def test_rows_of_two_lanes_have_no_common_ranking() -> None:
    candidates = [
        Candidate(lane, "", "submission", lane, Measurement(fingerprint=lane, created="", status="ok", lane=lane), None)
        for lane in ("eager", "compile")
    ]
    with pytest.raises(ValueError, match="compile, eager have no common ranking"):
        make_entries(candidates, get_track("ntire23-x2"), 30.0, "median")


def test_a_run_in_a_lane_says_so_everywhere(request_for, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(get_track("ntire23-x2"), input_shape=(1, 3, 24, 32))
    monkeypatch.setattr("harness.plan.track_for_scale", lambda _: small)
    finished = run(request_for("onnxruntime"), engine=InlineEngine())
    (row,) = finished.run.entries
    assert row.status == "ok", row.error
    assert row.lane == finished.run.protocol.lane == "onnxruntime"
    assert row.build_s > 0
    assert "onnxruntime" in (finished.folder / "leaderboard.csv").read_text()
    assert "onnxruntime" in finished.report.read_text()
    assert "Lane</dt><dd>onnxruntime, built in" in (finished.folder / "models" / "one.html").read_text()


def test_a_network_that_a_lane_refuses_fails_with_the_reason(request_for, submission: Path) -> None:
    (submission / "arch.py").write_text(
        CONV.replace("nn.PixelShuffle(scale))", "nn.PixelShuffle(scale), Odd())")
        + "\nclass Odd(nn.Module):\n    def forward(self, x):\n        return torch.special.bessel_j0(x)\n"
    )
    finished = run(request_for("onnxruntime"), engine=InlineEngine())
    (row,) = finished.run.entries
    assert (row.status, row.error.stage, row.error.type) == ("failed", "prepare", "LaneError")
    assert "bessel" in row.error.message


@pytest.mark.slow
def test_a_sandboxed_worker_can_compile(submission: Path) -> None:
    (found,) = discover([submission], entry_points=False)
    frames = [np.full((h, w, 3), 90, np.uint8) for h, w in ((16, 24), (20, 12))]
    images = []
    for lane in ("eager", "compile"):
        with LocalEngine().open(Job(found, scale=2, lane=lane)) as session:
            session.load()
            try:
                assert session.prepare((16, 24)) > 0
            except WorkerError as error:
                pytest.fail(f"{error}\n{error.log}")
            assert len(session.time([frames[0]], 1, 3, 3, None).samples_ms) == 3
            images.append([session.upscale(frame) for frame in frames])
    for one, other in zip(*images, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
