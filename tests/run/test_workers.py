"""Whole runs through real worker processes: hostile and broken submissions, and a challenge zip as it comes."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.pipeline import run
from harness.run.plan import RunRequest

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]
MEASURED_ANEW = {"stage_seconds", "runtime_ms", "score", "score_ci", "fps", "peak_memory_bytes"}

BROKEN = {
    "raises-at-import": ("pass", "raise OSError('no such library')\n", "load", "SubmissionError"),
    "returns-nan": ("x = x * float('nan')", "", "time", "ContractError"),
    "wrong-size": ("return x", "", "load", "ContractError"),
    "hangs": ("while x.shape[-1] > 20: pass", "", "load", "Timeout"),
    "exits": ("import os; os._exit(3)", "", "load", "Crash"),
}


@pytest.mark.slow
def test_broken_submissions_become_rows_and_their_neighbour_keeps_its_numbers(
    submit: Submit, request_for: Request
) -> None:
    submit("good")
    alone = run(request_for(timeout_s=60.0)).run.entries[0]
    for name, (body, before, _, _) in BROKEN.items():
        submit(name, body, before=before)
    finished = run(request_for(timeout_s=25.0))
    rows = {entry.name: entry for entry in finished.run.entries}
    assert set(rows) == {"good", *BROKEN}
    for name, (_, _, stage, kind) in BROKEN.items():
        row = rows[name]
        assert row.status == "failed", name
        assert (row.error.stage, row.error.type) == (stage, kind), f"{name}: {row.error}"
        assert row.error.message
        assert row.score is None
    assert rows["good"].model_dump(exclude=MEASURED_ANEW) == alone.model_dump(exclude=MEASURED_ANEW)
    assert rows["good"].isolation


CHALLENGE_ARCH = """
import torch
from torch import nn
from utils.blocks import Upsampler

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 12, 3, padding=1)
        self.tail = Upsampler()

    def forward(self, x):
        return self.tail(self.head(x))

def srmodel():
    return Network()
"""


@pytest.mark.slow
def test_a_challenge_zip_runs_unchanged(tmp_path: Path, request_for: Request) -> None:
    """The 2023 protocol's layout: arch.py with srmodel(), checkpoint.pth, utils/, results/, and no manifest."""
    torch.manual_seed(0)
    head = torch.nn.Conv2d(3, 12, 3, padding=1)
    torch.save({"head." + name: value for name, value in head.state_dict().items()}, tmp_path / "checkpoint.pth")
    folder = tmp_path / "submissions"
    folder.mkdir()
    with zipfile.ZipFile(folder / "team_seven.zip", "w") as archive:
        archive.writestr("arch.py", CHALLENGE_ARCH)
        archive.writestr("utils/__init__.py", "")
        archive.writestr("utils/blocks.py", "from torch import nn\n\ndef Upsampler():\n    return nn.PixelShuffle(2)\n")
        archive.writestr("results/readme.txt", "runtime per image [s] : 0.01\n")
        archive.write(tmp_path / "checkpoint.pth", "checkpoint.pth")
    (row,) = run(request_for(timeout_s=60.0)).run.entries
    assert (row.status, row.name) == ("ok", "team_seven"), row.error
    assert row.params == 336
    assert row.macs == 24 * 32 * 27 * 12
    assert row.psnr_rgb is not None
