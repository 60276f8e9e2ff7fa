"""Folders of images: matching by name, one failure per faulty image, metrics for all others."""

import re
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from harness.data import write_png
from harness.errors import DataError, UsageError
from harness.quality import ImageFailure, ImageScore, evaluate_pair, score_folders
from harness.quality.folders import count_names


def image(seed: int, height: int = 30, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def sr(tmp_path: Path) -> Path:
    return tmp_path / "sr"


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return tmp_path / "hr"


def failures(results: list[ImageScore | ImageFailure]) -> dict[str, str]:
    return {result.name: result.reason for result in results if isinstance(result, ImageFailure)}


def test_images_are_matched_by_name_in_order(sr: Path, hr: Path) -> None:
    for seed, name in enumerate(("c", "a", "b")):
        write_png(hr / f"{name}.png", image(seed))
        write_png(sr / f"{name}x2.png", image(seed + 10))
    results = list(score_folders(sr, hr, workers=2))
    assert [result.name for result in results] == ["a", "b", "c"]
    assert results[0] == ImageScore("a", evaluate_pair(image(11), image(1)))


@pytest.mark.parametrize("ending", ["x2", "X2", "_x2", "_X2", "-x4", ".x3", " 2x", "_4X"])
def test_a_scale_at_the_end_of_an_sr_name_is_ignored(sr: Path, hr: Path, ending: str) -> None:
    for seed, name in enumerate(("a", "A", "Bird", "Cx2")):
        write_png(hr / f"{name}.png", image(seed))
        write_png(sr / f"{name.lower() if name == 'Bird' else name}{ending}.png", image(seed + 10))
    results = list(score_folders(sr, hr))
    assert results == [
        ImageScore(name, evaluate_pair(image(seed + 10), image(seed)))
        for name, seed in (("A", 1), ("Bird", 2), ("Cx2", 3), ("a", 0))
    ]


def test_every_mistake_is_named_and_the_rest_goes_on(sr: Path, hr: Path) -> None:
    names = ("alpha", "corrupt", "good", "grey", "link", "size", "unpaired")
    for name in names:
        write_png(hr / f"{name}.png", image(0))
    write_png(sr / "good.png", image(1))
    write_png(sr / "size.png", image(1, 28))
    write_png(sr / "extra.png", image(1))
    (sr / "corrupt.png").write_bytes(b"\x89PNG")
    (sr / "link.png").symlink_to(sr / "gone.png")
    Image.fromarray(image(1)[..., 0]).save(sr / "grey.png")
    Image.fromarray(image(1)).convert("RGBA").save(sr / "alpha.png")
    results = list(score_folders(sr, hr))
    reasons = failures(results)
    assert [r.name for r in results if isinstance(r, ImageScore)] == ["good"]
    assert reasons.keys() == {"alpha", "corrupt", "extra", "grey", "link", "size", "unpaired"}
    assert "alpha channel" in reasons["alpha"]
    assert "not a readable image" in reasons["corrupt"]
    assert "no HR image" in reasons["extra"]
    assert "greyscale" in reasons["grey"]
    assert "40x28" in reasons["size"]
    assert "broken link" in reasons["link"]
    assert "no SR image" in reasons["unpaired"]


def test_two_images_for_one_name_are_not_chosen_from(sr: Path, hr: Path) -> None:
    for name in ("a", "b", "c"):
        write_png(hr / f"{name}.png", image(0))
    for name in ("a", "ax3", "b", "cx2"):
        write_png(sr / f"{name}.png", image(1))
    Image.fromarray(image(0)).save(hr / "b.bmp")
    results = list(score_folders(sr, hr))
    reasons = failures(results)
    assert "a.png and ax3.png are both SR images of a" in reasons["a"]
    assert "b.bmp and b.png are both HR images of b" in reasons["b"]
    assert [r.name for r in results if isinstance(r, ImageScore)] == ["c"]
    assert count_names(sr, hr) == len(results) == 3


def test_a_greyscale_hr_image_may_have_a_colour_partner(sr: Path, hr: Path) -> None:
    """As for the image bridge of Set14."""
    hr.mkdir()
    Image.fromarray(image(0)[..., 0]).save(hr / "bridge.png")
    write_png(sr / "bridge.png", np.repeat(image(0)[..., :1], 3, axis=2))
    (result,) = score_folders(sr, hr)
    assert isinstance(result, ImageScore)
    assert result.quality.ssim_rgb == 1.0


def test_with_a_scale_hr_is_cropped_and_borders_known(sr: Path, hr: Path) -> None:
    write_png(hr / "a.png", image(0, 31, 40))
    write_png(sr / "a.png", image(0, 31, 40)[:30])
    assert failures(list(score_folders(sr, hr)))["a"].endswith("pass the scale to crop HR images.")
    (result,) = score_folders(sr, hr, "matlab", scale=2)
    assert isinstance(result, ImageScore)
    with pytest.raises(UsageError, match="as wide as the scale"):
        score_folders(sr, hr, "matlab")


def test_only_as_many_images_as_workers_are_read_ahead(sr: Path, hr: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.quality import folders

    for index in range(9):
        write_png(hr / f"{index}.png", image(index))
        write_png(sr / f"{index}.png", image(index + 1))
    read: list[Path] = []
    original = folders.read_image
    monkeypatch.setattr(folders, "read_image", lambda path: read.append(path) or original(path))
    results = score_folders(sr, hr, workers=2)
    next(results)
    assert len(read) <= 2 * (2 + 1)
    assert len(list(results)) == 8


def test_missing_and_empty_folders_are_errors(sr: Path, hr: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        score_folders(sr, hr)
    sr.mkdir()
    hr.mkdir()
    with pytest.raises(DataError, match="neither folder"):
        score_folders(sr, hr)


CUTS = {
    "top left x4": (4, (363, 250), (0, 0)),
    "centre x4": (4, (363, 250), (2, 1)),
    "top left x3 of 512": (3, (512, 512), (0, 0)),
    "centre x3 of 512": (3, (512, 512), (1, 1)),
    "rows only": (2, (255, 256), (0, 0)),
    "equal size": (4, (363, 250), None),
    "equal size x3": (3, (400, 512), None),
}


@pytest.mark.parametrize("case", CUTS)
def test_hr_is_cut_where_its_sr_image_was(shared: Path, sr: Path, hr: Path, case: str) -> None:
    """PSNR by scikit-image, with the border of BasicSR's protocol."""
    scale, (rows, columns), offset = CUTS[case]
    with Image.open(shared / "data" / "Kodak24" / "HR" / "kodim07.png") as photograph:
        whole = np.asarray(photograph.convert("RGB"))[:rows, :columns]
    top, left = offset or (0, 0)
    size = (rows, columns) if offset is None else (rows // scale * scale, columns // scale * scale)
    crop = whole[top : top + size[0], left : left + size[1]]
    small = Image.fromarray(crop).resize((size[1] // scale, size[0] // scale), Image.Resampling.BICUBIC)
    upscaled = np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC))
    write_png(hr / "a.png", np.ascontiguousarray(whole))
    write_png(sr / "a.png", upscaled)
    (result,) = score_folders(sr, hr, "basicsr", scale=scale)
    assert isinstance(result, ImageScore), result
    inner = slice(scale, -scale)
    expected = peak_signal_noise_ratio(crop[inner, inner], upscaled[inner, inner])
    assert result.quality.psnr_rgb == pytest.approx(expected, abs=1e-6)
    assert result.hr_cut == ("none" if offset is None else "centre" if any(offset) else "top left")


@pytest.mark.parametrize(
    ("size", "scale", "message"),
    [
        ((29, 40), 2, r"is 40x29, but its HR image is 41x31, 40x30 after a crop for scale 2"),
        ((28, 40), 4, r"is 40x28, but its HR image is 41x32, 40x32 after a crop for scale 4"),
        ((30, 40), None, r"is 40x30, but its HR image is 41x31\. .*; pass the scale"),
        ((32, 42), 2, r"is 42x32, but its HR image is 41x31, 40x30 after"),
        ((30, 41), 2, r"is 41x30, but its HR image is 41x31, 40x30 after"),
    ],
)
def test_other_sizes_are_named_as_they_are(
    sr: Path, hr: Path, size: tuple[int, int], scale: int | None, message: str
) -> None:
    height = 32 if scale == 4 else 31
    write_png(hr / "a.png", image(0, height, 41))
    write_png(sr / "a.png", image(1, *size))
    (result,) = score_folders(sr, hr, scale=scale)
    assert isinstance(result, ImageFailure)
    assert re.search(message, result.reason), result.reason


@pytest.mark.parametrize("name", ["café", "Übung x2", "がぎ"])
def test_names_that_look_the_same_are_matched(sr: Path, hr: Path, name: str) -> None:
    write_png(hr / f"{normalize('NFC', name)}.png", image(0))
    write_png(sr / f"{normalize('NFD', name)}.png", image(1))
    (result,) = score_folders(sr, hr)
    assert result == ImageScore(normalize("NFC", name), evaluate_pair(image(1), image(0)))
