"""A track small enough to run in a test, images, and submissions that upscale by repeating pixels."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import WorkerError
from harness.machine.load import busy_share
from harness.run.plan import RunRequest
from harness.run.submission_run import SubmissionRun
from harness.timing import PROTOCOLS
from harness.tracks import get_track

NEAREST = "x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)"
REPEAT = """
import torch
from torch import nn
from torch.nn import functional

class Repeat(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        {body}
        x = x * self.gain
        return {output}

def srmodel(scale=2):
    return Repeat(scale)
"""


@pytest.fixture
def tiny_track(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run follow the 2023 rules at a size that takes milliseconds."""
    small = replace(get_track("ntire23-x2"), input_shape=(1, 3, 24, 32))
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda scale: replace(small, scale=scale))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take short turns and short looks at the machine: no time that these tests measure is held against another."""
    monkeypatch.setitem(PROTOCOLS, "robust", replace(PROTOCOLS["robust"], turn_s=0.01, anchor_turn_s=0.005))
    monkeypatch.setattr("harness.engines.this_machine.busy_share", lambda: busy_share(0.01))


@pytest.fixture(autouse=True)
def _told_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print why a network failed, which a test shows if it fails itself."""
    fail = SubmissionRun.fail

    def told(run: SubmissionRun, error: WorkerError) -> None:
        print(f"{run.slug} failed: {error} [{error.stage}, {error.kind}]")
        fail(run, error)

    monkeypatch.setattr(SubmissionRun, "fail", told)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of two small images with structure."""
    folder = tmp_path / "images"
    folder.mkdir()
    rows, columns = np.mgrid[0:48, 0:64]
    for index, name in enumerate(("first", "second")):
        wave = np.stack([np.sin(rows / (3 + c) + index) + np.cos(columns / (4 + c)) for c in range(3)], axis=-1)
        Image.fromarray(np.uint8(127 + 60 * wave)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def submit(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a submission and returns its folder."""

    def write(name: str, body: str = "pass", *, scales: str = "[2]", before: str = "", output: str = NEAREST) -> Path:
        folder = tmp_path / "submissions" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "submission.toml").write_text(f'[submission]\nname = "{name}"\nteam = "tests"\nscales = {scales}\n')
        (folder / "arch.py").write_text(before + REPEAT.format(body=body, output=output))
        return folder

    return write


@pytest.fixture
def submit_sharp(submit: Callable[..., Path]) -> Callable[..., Path]:
    """Return `submit` for networks that are better than bicubic on `images`, as submissions are."""
    resized = [
        f"functional.interpolate(x, scale_factor=float(self.scale), mode={mode!r})" for mode in ("bicubic", "bilinear")
    ]
    return partial(submit, output=f"1.1 * {resized[0]} - 0.1 * {resized[1]}")


@pytest.fixture
def request_for(tmp_path: Path, images: Path, tiny_track: None) -> Callable[..., RunRequest]:
    """Return a function that makes the request of a small run."""

    def make(**changes: object) -> RunRequest:
        request = RunRequest(
            submissions=(tmp_path / "submissions",),
            dataset=str(images),
            out=tmp_path / "run",
            threads=1,
            device="cpu",
            protocol="ntire23-cpu",
            time_budget_s=0.05,
            with_baselines=False,
            memory_bytes=1 << 40,  # one group, however full the memory of this machine is
        )
        return replace(request, **changes)

    return make
