"""The manifests in submissions/ are valid and complete, and agree with the published tables."""

import ast
import csv
import sys
from pathlib import Path

import pytest

from harness.results.schema import Published
from harness.submissions.manifest import Manifest, read_manifest

ZOO = {"LRSRN", "RT4KSR", "RTSRN", "IMDN", "SESR", "FSRCNN", "SCSRN", "BicubicPP", "RTVSR", "CRC", "ALONG", "TeamOV"}
BASELINES = {"Bicubic", "Nearest", "Bilinear", "Lanczos", "PillowBicubic"}
FOLDERS = [f"submissions/{name}" for name in sorted(ZOO)] + [f"baselines/{name}" for name in sorted(BASELINES)]


@pytest.fixture(scope="session")
def zoo(root: Path) -> dict[str, Manifest]:
    return {path.name: read_manifest(path) for path in (root / "submissions").iterdir() if path.is_dir()}


def test_the_zoo_is_complete(root: Path, zoo: dict[str, Manifest]) -> None:
    assert set(zoo) >= ZOO
    assert {path.parent.name for path in (root / "baselines").glob("*/submission.toml")} == BASELINES


@pytest.mark.parametrize("folder", FOLDERS)
def test_code_of_a_folder_is_self_contained(root: Path, folder: str) -> None:
    tree = ast.parse((root / folder / "arch.py").read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
    extra = {"PIL", "numpy"} if folder == "baselines/PillowBicubic" else set()
    assert imported <= {"torch"} | extra | sys.stdlib_module_names


@pytest.mark.parametrize("folder", FOLDERS)
def test_own_code_has_a_licence_and_a_description(root: Path, folder: str) -> None:
    manifest = read_manifest(root / folder)
    assert manifest.license == "Apache-2.0"
    assert manifest.description


def test_every_weights_file_is_listed(root: Path, zoo: dict[str, Manifest]) -> None:
    for name, manifest in zoo.items():
        files = {f"weights/{path.name}" for path in (root / "submissions" / name / "weights").glob("*.safetensors")}
        assert files == set((manifest.weights or {}).values()), name


def test_reconstructed_networks_say_so(zoo: dict[str, Manifest]) -> None:
    assert {name for name, manifest in zoo.items() if manifest.reconstructed} == {"SCSRN", "ALONG", "TeamOV"}
    assert all(bool(manifest.reconstructed_note) == manifest.reconstructed for manifest in zoo.values())


def test_value_ranges(zoo: dict[str, Manifest]) -> None:
    assert {name for name, manifest in zoo.items() if manifest.value_range == 255.0} == {"CRC"}


def _published(zoo: dict[str, Manifest], name: str, scale: str) -> Published:
    return zoo[name].published[scale]


def test_figures_of_the_lrsrn_poster(zoo: dict[str, Manifest], shared: Path) -> None:
    with (shared / "published" / "lrsrn_poster_complexity.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for row in rows:
        ours = _published(zoo, row["model"].split()[0], row["scale"])
        assert ours.params_k == float(row["params_K"])
        assert ours.runtime_ms == float(row["runtime_ms"])
        assert ours.score == float(row["score"])
        assert ours.psnr_val == pytest.approx(float(row["val_psnr_dB_implied"]), abs=0.006)
        assert "poster" in ours.source
        assert ("prints the x3 column" in ours.note) == ("x3 column" in row["note"])


def test_figures_of_the_report(zoo: dict[str, Manifest], shared: Path) -> None:
    teams = {
        "ALONG": "ALONG", "RTVSR": "RTVSR", "Team OV": "TeamOV", "DoYouChargeQQCoin": "CRC", "z6": "LRSRN",
        "Our Baseline [92]": "RT4KSR",
    }  # fmt: skip
    with (shared / "published" / "ntire2023_rtsr_track1_x2.csv").open(encoding="utf-8") as file:
        rows = {teams[row["team"]]: row for row in csv.DictReader(file) if row["team"] in teams}
    assert set(rows) == set(teams.values())
    for name, row in rows.items():
        ours = _published(zoo, name, "x2")
        assert ours.macs_g == float(row["flops_G"])
        assert ours.psnr_test == float(row["psnr_rgb_dB"])
        if name != "LRSRN":  # its manifest shows the poster's own runtime and score
            assert ours.params_k == pytest.approx(1000 * float(row["params_M"]), abs=0.06)
            assert ours.runtime_ms == float(row["runtime_ms"])
            assert ours.score == float(row["score"])


def test_figures_of_track_2(zoo: dict[str, Manifest], shared: Path) -> None:
    teams = {
        "Aselsan Research": "BicubicPP", "Team OV": "TeamOV", "RTVSR": "RTVSR", "z6 (LRSRN)": "LRSRN",
    }  # fmt: skip
    with (shared / "published" / "ntire2023_rtsr_track2_x3_partial.csv").open(encoding="utf-8") as file:
        rows = {teams[row["team"]]: row for row in csv.DictReader(file) if row["team"] in teams}
    assert set(rows) == set(teams.values())
    for name, row in rows.items():
        ours = _published(zoo, name, "x3")
        assert ours.psnr_test == float(row["psnr_rgb_dB"])
        if name != "LRSRN":
            assert ours.runtime_ms == float(row["runtime_ms"])


@pytest.mark.parametrize(
    ("name", "scale", "words"),
    [
        ("SESR", "x2", "x3 network's count"),
        ("FSRCNN", "x2", "No natural variant has 25.35 K"),
        ("FSRCNN", "x3", "No natural variant has 25.35 K"),
        ("SCSRN", "x2", "46.80 K is unexplained"),
        ("RT4KSR", "x2", "64/9"),
    ],
)
def test_a_figure_that_the_network_does_not_have_is_explained(
    zoo: dict[str, Manifest], name: str, scale: str, words: str
) -> None:
    assert words in _published(zoo, name, scale).note
