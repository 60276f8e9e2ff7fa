"""The page of public repositories: as they are, beside their published figures, and a run that was stopped goes on."""

import argparse
import csv
import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch
from challenge_repositories import LAYOUTS

from harness.engines.inline import InlineEngine
from harness.isolation.job import Job
from harness.isolation.session import Session
from harness.submissions.discovery import discover

pytestmark = pytest.mark.timeout(300)

NETWORK = """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.conv(x), 2)

def make():
    return Network()
"""
PARAMS, MACS = 12 * 28, 256 * 256 * 12 * 27


@pytest.fixture
def compatibility(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compatibility", root / "benchmarks" / "compatibility.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.syspath_prepend(str(root / "benchmarks"))  # where its page is
    monkeypatch.setitem(sys.modules, "compatibility", module)  # where its dataclasses look for their types
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clones(tmp_path: Path) -> Path:
    """Return a folder of clones: one with a network and a broken one, one without any, one without a manifest."""
    for name, factory in (("Good", "make"), ("Bad", "missing")):
        folder = tmp_path / "clones" / "first" / name
        folder.mkdir(parents=True)
        table = f'[submission]\nname = "{name}"\nscales = [2]\nfactory = "network:{factory}"\n'
        (folder / "submission.toml").write_text(table)
        (folder / "network.py").write_text(NETWORK)
    git = tmp_path / "clones" / "first" / ".git"
    git.mkdir()
    (git / "config").write_text('[remote "origin"]\n\turl = https://example.org/someone/networks.git\n')
    (tmp_path / "clones" / "second").mkdir()
    (tmp_path / "clones" / "second" / "README.md").write_text("nothing here")
    source = tmp_path / "clones" / "third" / "source"
    source.mkdir(parents=True)
    (source / "arches.py").write_text(NETWORK)
    torch.save({"conv.weight": torch.rand(12, 3, 3, 3) / 27, "conv.bias": torch.zeros(12)}, source / "sharp_x2.pth")
    return tmp_path / "clones"


class NoEngine(InlineEngine):
    """Starts nothing."""

    def open(self, job: Job) -> Session:
        raise AssertionError(f"{job.submission.root} is measured again")


def options(compatibility: ModuleType, clones: Path) -> argparse.Namespace:
    figures = clones.parent / "published.csv"
    with figures.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["repository", "model", "params_M", "macs_G"], ["networks", "Good", "0.000", "0.03"]]
        )
    places = ["--out", str(clones.parent / "page.md"), "--work", str(clones.parent / "work")]
    return compatibility.parsed([str(clones), *places, "--published", str(figures), "--remark", "On one machine."])


def cells(page: str, model: str) -> Sequence[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {model} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_says_what_became_of_every_network(compatibility: ModuleType, clones: Path) -> None:
    assert compatibility.measure(options(compatibility, clones), InlineEngine()) == 2
    page = (clones.parent / "page.md").read_text()
    assert "**2 of 3 networks whose weights are in their repository are measured (67 %)**" in page
    assert "Of 1 with published figures, 1 have the published parameters and 0 the published\nMACs" in page
    assert "On one machine." in page
    assert "| someone/networks | 2 | 2 | 1 |" in page
    assert "| second | 0 | 0 | 0 |" in page
    _, taken, result, params, macs, _, packages, _ = cells(page, "Good")
    assert (taken, result, packages) == ("manifest", "ok", "")
    assert params == f"{PARAMS / 1e6:.3f} (as published)"
    assert macs == f"{MACS / 1e9:.2f} (published 0.03, {100 * (MACS / 3e7 - 1):+.1f} %)"
    assert cells(page, "Bad")[2] == "failed"
    assert "missing" in cells(page, "Bad")[-1]
    assert cells(page, "-")[2] == "no weights"
    assert "there is no checkpoint" in cells(page, "-")[-1]
    assert cells(page, "sharp")[1:3] == ["`harness init`", "ok"]
    assert not (clones / "third" / "harness.toml").exists()
    assert str(clones) not in page
    rows = json.loads((clones.parent / "work" / "rows.json").read_text())
    assert [row["macs"] for row in rows if row["model"] == "Good"] == [MACS]
    assert compatibility.measure(options(compatibility, clones), NoEngine()) == 2
    assert (clones.parent / "page.md").read_text() == page


@pytest.mark.parametrize(
    ("model", "name"),
    [("07_RFDN-base", "RFDN base"), ("RFDN", "RFDN"), ("12_MyBSRN_v2", "BSRN"), ("Baidu", None)],
)
def test_published_names_are_found_in_those_of_a_script(
    compatibility: ModuleType, model: str, name: str | None
) -> None:
    page = importlib.import_module("compatibility_page")
    listed = [page.Published(one, "", "") for one in ("RFDN", "RFDN base", "BSRN", "AI")]
    row = page.Row("someone/X_ESR", model, "script", "ok")
    found = page.published_of(row, {"X_ESR": listed})
    assert (found and found.model) == name


def test_packages_beside_the_harness_are_read_from_the_imports(compatibility: ModuleType, clones: Path) -> None:
    network = clones / "first" / "Good" / "network.py"
    network.write_text("import cv2, einops, numpy, skimage.io, tqdm\nfrom . import parts\n" + network.read_text())
    (good,) = discover([clones / "first"], only=["Good"], entry_points=False)
    assert compatibility.packages_of(good) == ("einops", "opencv-python-headless")


def test_the_comment_of_a_branch_finds_the_figures_of_its_team(compatibility: ModuleType, tmp_path: Path) -> None:
    repository = LAYOUTS["2022"](tmp_path / "repository")
    found = discover([repository], entry_points=False, cache_dir=tmp_path / "cache")
    assert [compatibility.team_of(one) for one in found] == ["Plain Team", "", ""]
    page = importlib.import_module("compatibility_page")
    row = page.Row("someone/X_ESR", "07_RFDN", "script", "ok", team="Plain Team")
    listed = [page.Published(name, "", "") for name in ("RFDN", "Plain")]
    assert page.published_of(row, {"X_ESR": listed}).model == "Plain"
