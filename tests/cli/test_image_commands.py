"""The commands on images, as a user types them."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from harness.cli import app
from harness.data import read_rgb, write_png
from harness.quality import evaluate_pair


def image(seed: int, height: int = 30, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for index in range(3):
        write_png(tmp_path / "hr" / f"{index}.png", image(index))
        write_png(tmp_path / "sr" / f"{index}.png", image(index + 10))
    return tmp_path


def harness(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_quality_as_a_table() -> None:
    result = harness("quality", "sr", "hr")
    assert result.exit_code == 0
    assert f"{evaluate_pair(image(10), image(0)).psnr_rgb:.3f}" in result.stdout
    assert "mean" in result.stdout
    assert "BT.601" in result.stderr


def test_quality_as_json() -> None:
    write_png(Path("sr/2.png"), image(2))
    result = harness("quality", "sr", "hr", "--json", "--convention", "ntire23")
    content = json.loads(result.stdout)
    assert content["convention"].startswith("ntire23")
    assert [row["image"] for row in content["images"]] == ["0", "1", "2"]
    assert content["images"][0]["psnr_y"] == evaluate_pair(image(10), image(0), "ntire23").psnr_y
    assert content["images"][2]["psnr_rgb"] is None
    assert content["mean"]["ssim_rgb"] < 1


def test_quality_as_csv_with_a_bad_image() -> None:
    Path("sr/1.png").write_bytes(b"")
    result = harness("quality", "sr", "hr", "--csv")
    assert result.exit_code == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["image"] for row in rows] == ["0", "1", "2", "mean"]
    assert "not a readable image" in rows[1]["error"]
    assert float(rows[0]["ssim_y"]) == evaluate_pair(image(10), image(0)).ssim_y
    assert "1 of 3 images could not be measured; the mean is over the other 2" in result.stderr


def test_a_terminal_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr("harness.cli.counted.err", Console(file=terminal, force_terminal=True, width=100))
    assert "mean" in harness("quality", "sr", "hr").stdout
    assert "3/3" in terminal.getvalue()
    harness("prepare", "hr", "out")
    assert "preparing" in terminal.getvalue()
    assert harness("quality", "sr", "hr", "--csv").stderr == ""


def test_quality_names_bad_usage() -> None:
    assert harness("quality", "sr", "hr", "--json", "--csv").exit_code == 2
    assert harness("quality", "sr", "hr", "--convention", "none").exit_code == 2
    assert harness("quality", "sr", "hr", "--convention", "matlab").exit_code == 2
    assert harness("quality", "sr", "hr", "--convention", "matlab", "--scale", "2").exit_code == 0


def test_prepare_twice() -> None:
    first = harness("prepare", "hr", "out", "--crop", "32x24")
    assert (first.exit_code, "3 made, 0 kept, 0 failed" in first.stdout) == (0, True)
    assert read_rgb(Path("out/LR_x2/1.jpg")).shape == (12, 16, 3)
    assert "0 made, 3 kept, 0 failed" in harness("prepare", "hr", "out", "--crop", "32x24").stdout


def test_prepare_reports_what_failed() -> None:
    Path("hr/1.png").write_bytes(b"")
    result = harness("prepare", "hr", "out", "--scale", "3", "--degradation", "jpeg75-444")
    assert result.exit_code == 1
    assert "2 made, 0 kept, 1 failed" in result.stdout
    assert "hr/1.png" in result.stderr


@pytest.mark.parametrize("words", [("--crop", "32"), ("--crop", "0x24"), ("--degradation", "blur")])
def test_prepare_names_bad_usage(words: tuple[str, str]) -> None:
    assert harness("prepare", "hr", "out", *words).exit_code == 2


def test_data_sets_are_added_listed_and_verified() -> None:
    assert "3 images" in harness("datasets", "add", "mine", "hr").stdout
    listed = harness("datasets").stdout
    assert "mine" in listed
    assert "Manga109" in listed
    assert "3 of 3 images are intact" in harness("datasets", "verify", "mine").stdout
    Path("hr/1.png").write_bytes(b"")
    broken = harness("datasets", "verify", "mine")
    assert broken.exit_code == 1
    assert "1.png" in broken.stdout


def test_verify_says_what_a_run_would_refuse() -> None:
    for index in range(3):
        write_png(Path("set/HR") / f"{index}.png", image(index))
        write_png(Path("set/LR_x2") / f"{index}.png", image(index)[::2, ::2].copy())
    assert harness("datasets", "verify", "set").exit_code == 0
    Path("set/LR_x2/1.png").unlink()
    result = harness("datasets", "verify", "set")
    assert result.exit_code == 1
    assert "has no LR image for 1 of 3 HR images: 1.png" in result.stdout
    assert "5 of 5 images are intact" in result.stdout


def test_a_known_set_with_other_images_or_fewer_is_not_sound() -> None:
    for index in (3, 4):
        write_png(Path("hr") / f"{index}.png", image(index))
    assert "5 images" in harness("datasets", "add", "Set5", "hr").stdout
    result = harness("datasets", "verify", "Set5")
    assert result.exit_code == 1
    assert "4.png: is not an image of the data set" in result.stdout
    Path("hr/4.png").unlink()
    assert "Set5 has 5 HR images, but 4 are in" in harness("datasets", "verify", "Set5").stdout


def test_what_cannot_be_fetched_shows_no_bar() -> None:
    result = harness("datasets", "fetch", "Manga109")
    assert result.stderr.lstrip().startswith("error: Manga109 cannot be downloaded")
    assert "harness datasets add Manga109 FOLDER" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("words", "status"),
    [(("add", "mine"), 2), (("fetch",), 2), (("drop", "mine"), 2), (("fetch", "Manga109"), 2), (("fetch", "Set6"), 2)],
)
def test_data_sets_name_bad_usage(words: tuple[str, ...], status: int) -> None:
    assert harness("datasets", *words).exit_code == status


def test_a_damaged_avif_is_named_and_the_others_are_measured() -> None:
    """Pillow raises RuntimeError for it."""
    content = encoded(Image.fromarray(image(1)), "AVIF")
    Path("sr/1.png").unlink()
    start = content.index(b"mdat") + 4
    Path("sr/1.avif").write_bytes(content[:start] + bytes(len(content) - start))
    result = harness("quality", "sr", "hr", "--json")
    assert result.exit_code == 1
    rows = {row["image"]: row for row in json.loads(result.stdout)["images"]}
    assert "sr/1.avif: not a readable image" in rows["1"]["error"]
    assert rows["0"]["psnr_rgb"] == evaluate_pair(image(10), image(0)).psnr_rgb
    assert rows["2"]["psnr_rgb"] is not None


def test_quality_says_how_hr_was_cut() -> None:
    """HR of 31 x 41 pixels, SR of its top left 30 x 40."""
    for index in range(2):
        whole = image(index, 31, 41)
        write_png(Path(f"hr/{index}.png"), whole)
        write_png(Path(f"sr/{index}.png"), np.ascontiguousarray(whole[:30, :40]))
    result = harness("quality", "sr", "hr", "--json", "--scale", "2")
    assert [row["hr_cut"] for row in json.loads(result.stdout)["images"]] == ["top left", "top left", "none"]
    assert "HR cut to the size of SR at the top left in 2 of 3 images" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "words", [("datasets",), ("datasets", "verify", "hr"), ("quality", "sr", "hr"), ("prepare", "hr", "out")]
)
def test_a_cache_folder_below_a_file_is_done_without(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    Path("file").touch()
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(Path("file/cache").absolute()))
    assert harness(*words).exit_code == 0


@pytest.mark.parametrize("words", [("add", "mine", "hr"), ("fetch", "Set5")])
def test_what_needs_the_cache_folder_says_how_to_choose_another(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    Path("file").touch()
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(Path("file/cache").absolute()))
    result = harness("datasets", *words)
    assert result.exit_code == 2
    assert "HARNESS_CACHE_DIR" in result.stderr
    assert "--out" not in result.stderr
