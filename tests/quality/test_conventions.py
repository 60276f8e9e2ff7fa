"""Reproduce published values under each convention from the images."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from harness.data import centre_crop, get_degradation, list_images, open_dataset, read_rgb
from harness.data.imresize import imresize_float
from harness.errors import UsageError
from harness.quality import CONVENTIONS, Quality, average, evaluate_pair, luma_plane, psnr, ssim, upscale_bicubic
from harness.quality.convention import Convention, get_convention
from harness.quality.luma import BT601_ROUNDED


def truncated(value: float, digits: int) -> float:
    return math.floor(value * 10**digits) / 10**digits


@pytest.mark.parametrize("scale", [2, 3])
def test_the_lrsrn_posters_bicubic_on_set5(shared: Path, scale: int) -> None:
    """With LR images written by libjpeg 9; values of the poster are truncated."""
    with (shared / "published/lrsrn_poster_benchmarks_jpeg90.csv").open(newline="") as stream:
        (row,) = (r for r in csv.DictReader(stream) if (r["scale"], r["model"]) == (f"x{scale}", "Bicubic"))
    qualities = [
        evaluate_pair(
            upscale_bicubic(read_rgb(shared / f"data/Set5/LR_ijg9_x{scale}" / path.name), scale),
            centre_crop(read_rgb(path), scale),
            "lrsrn",
        )
        for path in list_images(shared / "data/Set5/HR")
    ]
    mean = average(qualities, "lrsrn")
    assert truncated(mean.psnr_rgb, 2) == float(row["Set5_psnr_rgb_dB"])
    assert truncated(mean.psnr_y, 2) == float(row["Set5_psnr_y_dB"])
    assert truncated(mean.ssim_rgb, 4) == float(row["Set5_ssim"])


@pytest.mark.parametrize(
    ("name", "scale", "psnr_rgb", "ssim_rgb", "psnr_y"),
    [
        ("Set5", 2, 29.866, 0.86662, 31.859),
        ("Set14", 2, 27.335, 0.81169, 28.587),
        ("Set5", 3, 27.213, 0.79519, 28.848),
        ("Set14", 3, 25.127, 0.71874, 26.116),
    ],
)
def test_the_posters_rows_with_libjpeg_turbo(
    shared: Path, tmp_path: Path, name: str, scale: int, psnr_rgb: float, ssim_rgb: float, psnr_y: float
) -> None:
    """Another JPEG library changes RGB PSNR by up to 0.1 dB and does not change Y."""
    dataset = open_dataset(shared / "data" / name / "HR", scale, get_degradation("ntire23"), tmp_path)
    pairs = map(dataset.pair, range(len(dataset)))
    mean = average([evaluate_pair(upscale_bicubic(lr, scale), hr, "lrsrn") for lr, hr in pairs])
    assert mean.psnr_rgb == pytest.approx(psnr_rgb, abs=0.001)
    assert mean.ssim_rgb == pytest.approx(ssim_rgb, abs=0.00002)
    assert mean.psnr_y == pytest.approx(psnr_y, abs=0.001)


@pytest.mark.parametrize(("scale", "psnr_y", "ssim_y"), [(2, 33.661, 0.9299), (3, 30.392, 0.8682), (4, 28.421, 0.8104)])
def test_the_classic_bicubic_on_set5(shared: Path, scale: int, psnr_y: float, ssim_y: float) -> None:
    """SRCNN's protocol: 8-bit Y of the top-left crop, imresize down in floating point and up again, 8 bits, shave."""
    figures = []
    for path in list_images(shared / "data/Set5/HR"):
        image = read_rgb(path)
        height, width = (side - side % scale for side in image.shape[:2])
        hr = luma_plane(image[:height, :width], BT601_ROUNDED)
        lr = imresize_float(hr, height // scale, width // scale)
        sr = np.clip(np.floor(imresize_float(lr, height, width) + 0.5), 0, 255)
        pair = sr.astype(np.uint8), hr.astype(np.uint8)
        figures.append((psnr(*pair, border=scale), ssim(*pair, border=scale)))
    mean = np.mean(figures, axis=0)
    assert mean[0] == pytest.approx(psnr_y, abs=0.0006)
    assert mean[1] == pytest.approx(ssim_y, abs=0.00006)


def test_a_border_as_wide_as_the_scale_needs_the_scale() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    framed = image.copy()
    framed[:3] = 9
    assert evaluate_pair(framed, image, "matlab", scale=3).psnr_rgb == math.inf
    assert evaluate_pair(framed, image, "matlab", scale=2).psnr_rgb < math.inf
    assert evaluate_pair(framed, image, "ntire-esr").psnr_rgb == math.inf
    with pytest.raises(UsageError, match="as wide as the scale"):
        evaluate_pair(framed, image, "matlab")


def test_mean_of_psnrs_and_psnr_of_the_mean_error() -> None:
    qualities = [Quality(20.0, 20.0, 0.5, 0.5), Quality(40.0, 40.0, 1.0, 1.0)]
    assert average(qualities).psnr_rgb == 30.0
    pooled = Convention("pooled", "test", average="PSNR of the mean MSE")
    expected = -10 * math.log10((10**-2 + 10**-4) / 2)
    assert average(qualities, pooled).psnr_rgb == pytest.approx(expected)
    assert average(qualities).ssim_rgb == 0.75
    with pytest.raises(UsageError, match="no images"):
        average([])


def test_a_convention_may_be_given_itself_or_by_name() -> None:
    assert get_convention("lrsrn") is CONVENTIONS["lrsrn"]
    assert get_convention(CONVENTIONS["lrsrn"]) is CONVENTIONS["lrsrn"]
    with pytest.raises(UsageError, match="ntire-esr"):
        get_convention("papers")
