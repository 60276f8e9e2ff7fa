"""Backends in complete runs: stored results, repeated measurements and rejected submissions."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model
from PIL import Image

from harness.engines import Job, LocalEngine
from harness.engines.inline import InlineEngine
from harness.errors import UsageError, WorkerError
from harness.pipeline import run
from harness.results import Entry
from harness.run.plan import RunRequest, make_plan
from harness.submissions.discovery import discover
from harness.tracks import get_track

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
    def make(backend: str, **changes: object) -> RunRequest:
        return RunRequest(
            (submission,), dataset=str(images), out=tmp_path / "run", threads=1, device="cpu", time_budget_s=0.05,
            with_baselines=False, backend=backend, **changes,
        )  # fmt: skip

    return make


def test_another_backend_is_another_measurement(request_for) -> None:
    eager, again, other = (make_plan(request_for(backend)) for backend in ("eager", "eager", "channels_last"))
    assert eager.submissions[0].fingerprint == again.submissions[0].fingerprint
    assert eager.submissions[0].fingerprint != other.submissions[0].fingerprint
    assert other.protocol_info().backend == "channels_last"


def test_a_backend_that_the_machine_lacks_is_said_before_anything_runs(request_for) -> None:
    with pytest.raises(UsageError, match="--backend cuda-graph captures a CUDA graph, and the device is cpu"):
        make_plan(request_for("cuda-graph"))
    with pytest.raises(UsageError, match=r"no backend is called 'fast'.*channels_last, compile"):
        make_plan(request_for("fast"))


def test_a_network_that_declares_its_backends_is_not_tried_in_another(request_for, submission: Path) -> None:
    with (submission / "submission.toml").open("a") as manifest_file:
        manifest_file.write('backends = ["eager", "compile"]\n')
    (row,) = run(request_for("channels_last")).run.entries
    assert (row.status, row.error.stage) == ("unsupported", "plan")
    assert row.error.message == "does not run on backend channels_last (runs on eager, compile)"
    (row,) = run(request_for("eager")).run.entries
    assert row.status == "ok"
    manifest = submission / "submission.toml"
    manifest.write_text(manifest.read_text().replace('"compile"', '"channels_last"'))
    (row,) = run(request_for("channels_last")).run.entries
    assert row.status == "ok"


def test_an_onnx_file_among_networks_of_torch_is_measured_and_not_ranked(
    request_for, submission: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(get_track("ntire23-x2"), input_shape=(1, 3, 24, 32))
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda _: small)
    write_doubling(tmp_path / "file.onnx")
    blocks = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
    for file in (tmp_path / "images").iterdir():
        Image.fromarray(blocks).save(file)  # which repeated pixels restore better than bicubic

    def rows(backend: str) -> dict[str, Entry]:
        request = replace(
            request_for(backend), submissions=(submission, tmp_path / "file.onnx"), out=tmp_path / backend
        )
        return {entry.name: entry for entry in run(request, engine=InlineEngine()).run.entries}

    apart, together = rows("eager"), rows("onnxruntime")
    assert (apart["file"].status, apart["file"].backend, apart["file"].rank) == ("ok", "onnxruntime", None)
    assert apart["file"].score is not None
    assert any("--backend onnxruntime" in note for note in apart["file"].notes)
    assert apart["one"].backend == "eager"
    assert (together["file"].backend, together["file"].rank) == ("onnxruntime", 1)


def write_doubling(path: Path) -> None:
    """Write a nearest-neighbour upscaling model with ONNX's own helpers."""
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32).repeat(4, 0).reshape(12, 3, 1, 1), "weight")
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["channels"]),
        helper.make_node("DepthToSpace", ["channels"], ["y"], blocksize=2, mode="CRD"),
    ]
    image, upscaled = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, f"{name}h", f"{name}w"]) for name in "xy"
    )
    graph = helper.make_graph(nodes, "doubling", [image], [upscaled], [weight])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_a_run_in_a_backend_says_so_everywhere(request_for, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(get_track("ntire23-x2"), input_shape=(1, 3, 24, 32))
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda _: small)
    finished = run(request_for("onnxruntime"), engine=InlineEngine())
    (row,) = finished.run.entries
    assert row.status == "ok", row.error
    assert row.backend == finished.run.protocol.backend == "onnxruntime"
    assert row.build_s > 0
    assert "onnxruntime" in (finished.folder / "leaderboard.csv").read_text()
    assert "onnxruntime" in finished.report.read_text()
    assert "Backend</dt><dd>onnxruntime, built in" in (finished.folder / "models" / "one.html").read_text()


def test_a_network_that_a_backend_refuses_fails_with_the_reason(request_for, submission: Path) -> None:
    (submission / "arch.py").write_text(
        CONV.replace("nn.PixelShuffle(scale))", "nn.PixelShuffle(scale), Odd())")
        + "\nclass Odd(nn.Module):\n    def forward(self, x):\n        return torch.special.bessel_j0(x)\n"
    )
    finished = run(request_for("onnxruntime"), engine=InlineEngine())
    (row,) = finished.run.entries
    assert (row.status, row.error.stage, row.error.type) == ("failed", "prepare", "BackendError")
    assert "bessel" in row.error.message


@pytest.mark.slow
def test_a_sandboxed_worker_can_compile(submission: Path) -> None:
    (found,) = discover([submission], entry_points=False)
    frames = [np.full((h, w, 3), 90, np.uint8) for h, w in ((16, 24), (20, 12))]
    images = []
    for backend in ("eager", "compile"):
        with LocalEngine().open(Job(found, scale=2, backend=backend)) as session:
            session.load()
            try:
                assert session.prepare((16, 24)) > 0
            except WorkerError as error:
                pytest.fail(f"{error}\n{error.log}")
            assert len(session.time([frames[0]], 1, 3, 3, None).samples_ms) == 3
            images.append([session.upscale(frame) for frame in frames])
    for one, other in zip(*images, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
