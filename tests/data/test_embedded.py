"""The embedded data set is what its catalogue says."""

import hashlib
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import harness.data
from harness.data.degradation import degrade, get_degradation
from harness.data.images import list_images, read_rgb
from harness.quality.bicubic import upscale_bicubic
from harness.quality.evaluate import evaluate_pair

FOLDER = Path(harness.data.__file__).parent / "embedded"
IMAGES: list[dict[str, Any]] = tomllib.loads((FOLDER / "catalogue.toml").read_text("utf-8"))["image"]
FREE = {
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "LGPL-3.0-only": "https://www.gnu.org/licenses/lgpl-3.0.html",
}

each_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image["file"])


def test_catalogue_lists_every_file() -> None:
    assert sorted(image["file"] for image in IMAGES) == [path.name for path in list_images(FOLDER)]


def test_two_of_each_kind() -> None:
    assert Counter(image["kind"] for image in IMAGES) == {"photo": 2, "art": 2, "render": 2}


def test_fits_in_sixteen_megabytes() -> None:
    assert sum((FOLDER / image["file"]).stat().st_size for image in IMAGES) <= 16_000_000


def test_training_takes_none_of_them() -> None:
    catalogue = Path(__file__).parents[2] / "training" / "images.toml"
    trained = {(image["package"], image["file"]) for image in tomllib.loads(catalogue.read_text("utf-8"))["image"]}
    embedded = {tuple(image["source"].split(": ")) for image in IMAGES}
    assert not trained & embedded


@each_image
def test_says_whose_it_is(image: dict[str, Any]) -> None:
    assert image["licence_url"] == FREE[image["licence"]]
    readme = (FOLDER / "README.md").read_text("utf-8")
    (row,) = (line for line in readme.splitlines() if f"`{image['file']}`" in line)
    assert all(image[key] in row for key in ("title", "author", "licence", "licence_url"))
    assert all(image[key] for key in ("source", "processing"))


@each_image
def test_file_is_the_recorded_one(image: dict[str, Any]) -> None:
    assert hashlib.sha256((FOLDER / image["file"]).read_bytes()).hexdigest() == image["sha256"]


@each_image
def test_has_detail_and_can_be_restored(image: dict[str, Any]) -> None:
    hr = read_rgb(FOLDER / image["file"])
    assert hr.shape == (1080, 2040, 3)
    lr = degrade(hr, 2, get_degradation("ntire23"))
    assert 28 < evaluate_pair(upscale_bicubic(lr, 2), hr).psnr_y < 42
