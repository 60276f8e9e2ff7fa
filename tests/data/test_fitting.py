"""HR images are cut where whoever made their LR or SR images cut them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data import get_degradation, open_dataset, write_png
from harness.data.fitting import fit_to_lr, fit_to_sr
from harness.data.imresize import imresize

SHRINK = {
    "Pillow bicubic": lambda hr, h, w: np.asarray(Image.fromarray(hr).resize((w, h), Image.Resampling.BICUBIC)),
    "box": lambda hr, h, w: np.asarray(Image.fromarray(hr).resize((w, h), Image.Resampling.BOX)),
    "Lanczos": lambda hr, h, w: np.asarray(Image.fromarray(hr).resize((w, h), Image.Resampling.LANCZOS)),
    "MATLAB": imresize,
}


@pytest.fixture(scope="module")
def photograph(shared: Path) -> np.ndarray:
    with Image.open(shared / "data" / "Kodak24" / "HR" / "kodim04.png") as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("shrink", SHRINK)
@pytest.mark.parametrize(
    ("size", "scale", "centre"),  # rows and columns of HR; offset of the crop in the centre
    [((363, 250), 4, (2, 1)), ((250, 363), 4, (1, 2)), ((512, 512), 3, (1, 1)), ((254, 256), 4, (1, 0))],
)
def test_the_offset_is_found(
    photograph: np.ndarray, shrink: str, size: tuple[int, int], scale: int, centre: tuple[int, int]
) -> None:
    hr = photograph[: size[0], : size[1]]
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    for cut, (top, left) in {"top left": (0, 0), "centre": centre}.items():
        crop = hr[top : top + height * scale, left : left + width * scale]
        lr = SHRINK[shrink](crop, height, width)
        fitted = fit_to_lr(hr, lr, scale)
        assert fitted.cut == cut
        np.testing.assert_array_equal(fitted.hr, crop)
        sr = np.asarray(Image.fromarray(lr).resize((width * scale, height * scale), Image.Resampling.BICUBIC))
        assert fit_to_sr(hr, sr).cut == cut
        np.testing.assert_array_equal(fit_to_sr(hr, sr).hr, crop)


def test_nothing_is_cut_off_an_equal_size_and_a_flat_image_is_cut_at_the_top_left() -> None:
    hr = np.full((10, 14, 3), 77, np.uint8)
    assert fit_to_sr(hr, hr).cut == "none"
    fitted = fit_to_lr(hr, np.full((3, 4, 3), 77, np.uint8), 3)
    assert (fitted.cut, fitted.hr.shape) == ("top left", (9, 12, 3))


def test_a_data_set_says_how_it_was_cut(photograph: np.ndarray, tmp_path: Path) -> None:
    """Three images: cut at the top left, in the centre, and not at all."""
    hr = photograph[:363, :250]
    for name, whole, crop in (("a", hr, hr[:360, :248]), ("b", hr, hr[2:362, 1:249]), ("c", *(hr[:360, :248],) * 2)):
        write_png(tmp_path / "HR" / f"{name}.png", np.ascontiguousarray(whole))
        write_png(tmp_path / "LR_x4" / f"{name}x4.png", SHRINK["MATLAB"](crop, 90, 62))
    dataset = open_dataset(tmp_path, 4, get_degradation("ntire23"))
    said = dataset.hr_cut()
    assert "at the top left in 1 images" in said
    assert "in the centre in 1 images" in said
    np.testing.assert_array_equal(dataset.pair(0)[1], hr[:360, :248])
    np.testing.assert_array_equal(dataset.pair(1)[1], hr[2:362, 1:249])
