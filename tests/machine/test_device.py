"""What a run says of its device, and that a controller does without torch until something is to be measured."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.machine import accelerator
from harness.machine.accelerator import accelerator_type, torch_build
from harness.machine.device import describe_device


def test_the_version_is_what_torch_says_of_itself() -> None:
    assert torch_build()["__version__"] == torch.__version__
    assert describe_device("cpu", 2).torch == torch.__version__


def test_torch_is_asked_where_its_build_knows_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    for build, found in (({"cuda": None}, None), ({"cuda": "12.8"}, "cuda"), ({"hip": "6.3"}, "cuda")):
        monkeypatch.setattr(accelerator, "torch_build", lambda build=build: build)
        assert accelerator_type() == found


def test_an_accelerator_of_another_package_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "torch_build", lambda: {"cuda": None})
    monkeypatch.setattr(accelerator, "entry_points", lambda group: ["a package"] if group == "torch.backends" else [])
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("hpu"))
    assert accelerator_type() == "hpu"


def test_a_plan_is_made_without_torch(root: Path) -> None:
    program = """
import sys
from pathlib import Path
import harness.cli, harness.pipeline, harness.engines, harness.cli.terminal
from harness.run.plan import RunRequest, make_plan
assert make_plan(RunRequest((Path("submissions"),), device="cpu")).submissions
heavy = {"torch", "scipy.stats", "pandas", "numba", "fvcore", "onnx"} & sys.modules.keys()
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
