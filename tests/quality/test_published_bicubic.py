"""The challenge's bicubic on Set5 and Set14, image by image, against published/expected_bicubic.csv."""

import csv
from functools import cache
from pathlib import Path

import pytest

from harness.data import Dataset, get_degradation, open_dataset
from harness.quality import evaluate_pair, upscale_bicubic

PSNR_TOLERANCE = 0.005
SSIM_TOLERANCE = 0.0002


@cache
def expected(shared: Path, name: str, scale: int) -> dict[str, dict[str, str]]:
    with (shared / "published/expected_bicubic.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {row["image"]: row for row in rows if row["set"] == name and int(row["scale"]) == scale}


@pytest.fixture(params=[("Set5", 2), ("Set5", 3), ("Set14", 2), ("Set14", 3)], ids=lambda p: f"{p[0]}-x{p[1]}")
def dataset(request: pytest.FixtureRequest, shared: Path, tmp_path: Path) -> Dataset:
    name, scale = request.param
    return open_dataset(shared / "data" / name / "HR", scale, get_degradation("ntire23"), tmp_path)


def test_every_image_of_the_table(dataset: Dataset, shared: Path) -> None:
    rows = expected(shared, dataset.name, dataset.scale)
    assert dataset.names == sorted(rows.keys() - {"mean"})
    for index, name in enumerate(dataset.names):
        lr, hr = dataset.pair(index)
        sr = upscale_bicubic(lr, dataset.scale)
        ours, script = evaluate_pair(sr, hr), evaluate_pair(sr, hr, "ntire23")
        row = {key: float(value) for key, value in rows[name].items() if key.startswith(("psnr", "ssim"))}
        assert ours.psnr_rgb == pytest.approx(row["psnr_rgb"], abs=PSNR_TOLERANCE)
        assert ours.psnr_y == pytest.approx(row["psnr_y"], abs=PSNR_TOLERANCE)
        assert ours.ssim_rgb == pytest.approx(row["ssim_rgb"], abs=SSIM_TOLERANCE)
        assert ours.ssim_y == pytest.approx(row["ssim_y"], abs=SSIM_TOLERANCE)
        assert script.psnr_y == pytest.approx(row["psnr_y_swapped"], abs=PSNR_TOLERANCE)
        assert script.ssim_y == pytest.approx(row["ssim_y_swapped"], abs=SSIM_TOLERANCE)
        assert (script.psnr_rgb, script.ssim_rgb) == (ours.psnr_rgb, ours.ssim_rgb)
