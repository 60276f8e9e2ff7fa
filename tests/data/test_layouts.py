"""Folders of published data sets: which HR and LR images belong together, which LR was used, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from harness.data import add, get_degradation, open_dataset, write_png
from harness.data.layouts import pairing_faults
from harness.errors import DataError

NTIRE23 = get_degradation("ntire23")
NAMES = ("baby", "bird")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))


def image(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def hr_image(name: str) -> np.ndarray:
    return image(NAMES.index(name), 24, 36)


def lr_image(name: str, scale: int) -> np.ndarray:
    """Return noise, which no degradation of the HR image would give."""
    return image(10 * scale + NAMES.index(name), 24 // scale, 36 // scale)


def build(folder: Path, hr: str, *lr: str, scale: int = 2) -> Path:
    """Write HR and LR images at paths in which {} stands for the name."""
    for name in NAMES:
        write_png(folder / hr.format(name), hr_image(name))
        for pattern in lr:
            write_png(folder / pattern.format(name), lr_image(name, scale))
    return folder


LAYOUTS = [
    # EDSR, DIV2K, SwinIR
    ("HR/{}.png", "LR_bicubic/X2/{}x2.png"),
    ("DIV2K_valid_HR/{}.png", "DIV2K_valid_LR_bicubic/X2/{}x2.png"),
    ("DIV2K_valid_HR/{}.png", "DIV2K_valid_LR_unknown/X2/{}x2.png"),
    ("DIV2K_train_HR/{}.png", "DIV2K_train_LR_mild/{}x2m.png"),
    ("DIV2K_train_HR/{}.png", "DIV2K_train_LR_wild/{}x2w1.png"),
    ("Flickr2K_HR/{}.png", "Flickr2K_LR_bicubic/X2/{}x2.png"),
    # HR images in the folder itself
    ("{}.png", "LR_x2/{}x2.png"),
    ("{}.png", "lr/{}.png"),
    ("{}.png", "X2/{}.png"),
    # BasicSR
    ("GTmod12/{}.png", "LRbicx2/{}.png"),
    ("GT/{}.png", "LRx2/{}.png"),
    # MATLAB scripts, RCAN, SelfExSR, RealSR
    ("HR/{}_HR_x2.png", "LRBI/x2/{}_LRBI_x2.png"),
    ("{}_SRF_2_HR.png", "{}_SRF_2_LR.png"),
    ("image_SRF_2/{}_SRF_2_HR.png", "image_SRF_2/{}_SRF_2_LR.png"),
    ("{}_HR.png", "{}_LR2.png"),
    ("{}_HR.png", "{}_LR.png"),
    ("HR/{}.png", "LR/{}_SRF_2_LR.png"),
    # others
    ("HR/{}.png", "LR/{}.png"),
    ("HR/{}.png", "LR/{}_LR.png"),
    ("HR/{}.png", "LR/{}_x2.png"),
    ("HR/{}.png", "LR/{}X2.png"),
    ("HR/{}.png", "LR/{}-x2.png"),
    ("HR/{}.png", "LR/{}_bicubic_x2.png"),
    ("HR/{}.png", "LQ/{}.png"),
    ("HR/{}.png", "LR2/{}.png"),
    ("HR/{}.png", "LR_2/{}.png"),
    ("HR/{}.png", "lr_x2/{}_lr.png"),
    ("HR/{}.png", "2x/{}.png"),
    ("HR/{}.png", "Set5_LR_ijg9_x2/{}.png"),
    ("hr/{}.png", "lr/X2/{}.png"),
    ("Hr/{}.png", "Lr/{}.png"),
    ("gt/{}_gt.png", "lq/{}.png"),
    ("original/{}.png", "lowres/{}.png"),
    # LR beside HR
    ("{}.png", "{}x2.png"),
    ("HR/{}.png", "HR/{}_x2.png"),
]


@pytest.mark.parametrize(("hr", "lr"), LAYOUTS, ids=[" ".join(layout) for layout in LAYOUTS])
def test_the_lr_images_of_a_published_layout_are_used(tmp_path: Path, hr: str, lr: str) -> None:
    folder = build(tmp_path / "set", hr, lr)
    dataset = open_dataset(folder, 2, NTIRE23)
    assert len(dataset) == 2
    for index, name in enumerate(NAMES):
        given, whole = dataset.pair(index)
        np.testing.assert_array_equal(given, lr_image(name, 2))
        np.testing.assert_array_equal(whole, hr_image(name))
    assert dataset.degradation.name == "given"
    assert dataset.lr_source.startswith("as given in ")
    assert Path(lr.format("baby")).name in dataset.lr_source
    assert add("mine", folder if "image_SRF" not in hr else folder / "image_SRF_2") == 2


@pytest.mark.parametrize(
    "lr",
    ["LR_bicubic/X{0}/{{}}x{0}.png", "LR_x{0}/{{}}.png", "X{0}/{{}}.png", "LR/{{}}x{0}.png", "{{}}x{0}.png"],
)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_one_folder_with_all_scales_gives_those_of_the_scale(tmp_path: Path, lr: str, scale: int) -> None:
    hr = "{}.png" if lr.startswith("{{}}") else "HR/{}.png"
    for each in (2, 3, 4):
        build(tmp_path, hr, lr.format(each), scale=each)
    dataset = open_dataset(tmp_path, scale, NTIRE23)
    assert dataset.names == list(NAMES)
    np.testing.assert_array_equal(dataset.pair(1)[0], lr_image("bird", scale))


def test_lr_is_made_where_there_is_none_and_the_run_can_say_so(tmp_path: Path) -> None:
    build(tmp_path, "HR/{}.png", "LR_x2/{}.png")
    made = open_dataset(tmp_path / "HR", 2, NTIRE23)
    assert made.degradation == NTIRE23
    assert made.lr_source == f"made from HR by the harness ({NTIRE23.description})"
    assert made.hr_cut() == ""


@pytest.mark.parametrize("other", ["SR/{}.png", "results/{}x2.png", "notes/{}.png", "LRSRN_x2/{}.png"])
def test_images_of_the_size_of_hr_are_no_lr(tmp_path: Path, other: str) -> None:
    build(tmp_path, "HR/{}.png")
    for name in NAMES:
        write_png(tmp_path / other.format(name), hr_image(name))
    assert open_dataset(tmp_path, 2, NTIRE23).degradation == NTIRE23


REFUSED = {
    "two LR images of one HR image": (("HR/{}.png", "LR/{}.png", "LR/{}.bmp"), "LR images of the same HR image"),
    "with and without the scale": (("HR/{}.png", "LR/{}.png", "LR/{}x2.png"), "LR images of the same HR image"),
    "other names": (("HR/{}.png", "LR_x2/image_{}.png"), "no LR image for 2 of 2"),
    "names of another scale": (("HR/{}.png", "LR/{}x3.png"), "no LR image for 2 of 2"),
    "a digit is no scale": (("HR/{}.png", "LR/{}2.png"), "no LR image for 2 of 2"),
    "two folders": (("HR/{}.png", "LR_x2/{}.png", "LR_bicubic/X2/{}.png"), "several folders of LR images"),
    "two kinds": (("HR/{}.png", "LR_bicubic/X2/{}.png", "LR_unknown/X2/{}.png"), "several folders of LR images"),
    "two without a scale": (("HR/{}.png", "LR/{}.png", "lq/{}.png"), "several folders of LR images"),
    "two HR folders": (("train_HR/{}.png", "valid_HR/{}.png"), "several folders of HR images"),
    "an unknown name": (("HR/{}.png", "small/{}.png"), "look like LR images of scale 2"),
    "an unknown name deeper": (("HR/{}.png", "down/bic/{}x2.png"), "look like LR images of scale 2"),
    "an unknown name beside images": (("{}.png", "half/{}.png"), "look like LR images of scale 2"),
    "in two places": (("HR/{}.png", "HR/{}x2.png", "LR_x2/{}.png"), "holds LR images, as does"),
    "inside the HR folder": (("HR/{}.png", "HR/down/{}.png"), "look like LR images of scale 2"),
    "three levels down": (("HR/{}.png", "a/b/c/{}.png"), "look like LR images of scale 2"),
    "three levels down beside images": (("{}.png", "a/b/c/{}x2.png"), "look like LR images of scale 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_looks_like_lr_and_cannot_be_paired_is_refused(tmp_path: Path, case: str) -> None:
    patterns, message = REFUSED[case]
    build(tmp_path, *patterns)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(tmp_path, 2, NTIRE23)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


@pytest.fixture
def waves() -> dict[str, np.ndarray]:
    """Return two images that are not alike and keep their look when they are downscaled."""
    rows, columns = np.mgrid[0:48, 0:72]
    one, other = np.sin(rows / 9) + np.cos(columns / 11), np.cos(rows / 5) * np.sin(columns / 16)
    return {n: np.uint8(np.repeat(120 + 50 * w[..., None], 3, 2)) for n, w in zip(NAMES, (one, other), strict=True)}


UNNAMED = [
    *("{}_small.png", "{}_down.png", "{}_bicubic.png", "x2_{}.png", "LR_{}.png", "{}LR.png", "{}_LR_bicubic.png"),
    *("{} (x2).png", "{}x2m.png", "{}_L.png", "{}-thumb.jpg"),
]


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        *(("{}.png", lr) for lr in UNNAMED),
        ("hr_{}.png", "lr_{}.png"),
        ("{}_H.png", "{}_L.png"),
        ("{}_HR.png", "{}.png"),
    ],
)
def test_lr_images_among_hr_images_are_no_hr_images(
    tmp_path: Path, waves: dict[str, np.ndarray], hr: str, lr: str
) -> None:
    for scale in (2, 4):
        for name, pixels in waves.items():
            write_png(tmp_path / hr.format(name), pixels)
            write_png(tmp_path / lr.format(name), np.ascontiguousarray(pixels[::scale, ::scale]))
        with pytest.raises(DataError, match=r"holds \S.*, which looks like an LR image of ") as caught:
            open_dataset(tmp_path, 2, NTIRE23)
        assert caught.value.where == str(tmp_path)


def test_images_of_half_the_size_that_show_something_else_are_hr_images(
    tmp_path: Path, waves: dict[str, np.ndarray]
) -> None:
    write_png(tmp_path / "frame_1.png", waves["baby"])
    write_png(tmp_path / "frame_2.png", np.ascontiguousarray(waves["bird"][::2, ::2]))
    write_png(tmp_path / "frame_3.png", np.full((16, 24, 3), 9, np.uint8))
    (tmp_path / "frame_4.png").write_bytes(b"no image")
    assert len(open_dataset(tmp_path, 2, NTIRE23)) == 4


@pytest.mark.parametrize("lr", ["LR_x3/{}.png", "LR_bicubic/X4/{}x4.png", "X3/{}.png"])
def test_lr_of_other_scales_only_is_refused(tmp_path: Path, lr: str) -> None:
    build(tmp_path, "HR/{}.png", lr, scale=4 if "4" in lr else 3)
    with pytest.raises(DataError, match="of other scales than 2 only"):
        open_dataset(tmp_path, 2, NTIRE23)
    assert open_dataset(tmp_path / "HR", 2, NTIRE23).degradation == NTIRE23


@pytest.mark.parametrize("lr", ["LR_x2/{}.png", "LR/{}x2.png", "LR_bicubic/X2/{}x2.png"])
def test_an_lr_image_without_an_hr_image_is_named(tmp_path: Path, lr: str) -> None:
    build(tmp_path, "HR/{}.png", lr)
    (tmp_path / "HR" / "bird.png").unlink()
    with pytest.raises(
        DataError, match=r"has 1 LR images without an HR image: bird(x2)?\.png\. Add their HR"
    ) as caught:
        open_dataset(tmp_path, 2, NTIRE23)
    assert caught.value.where == str((tmp_path / lr).parent)


@pytest.mark.parametrize("name", ["HR", "LR_x2", "LR_bicubic/X2"])
def test_a_broken_link_to_a_folder_of_images_is_named(tmp_path: Path, name: str) -> None:
    build(tmp_path, "GT/{}.png")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match="is a broken link") as caught:
        open_dataset(tmp_path, 2, NTIRE23)
    assert caught.value.where == str(tmp_path / name)


FAULTS = {
    "LR_x2/bird.png": "has no LR image for 1 of 2",
    "LR_bicubic/X3/birdx3.png": "has no LR image for 1 of 2",
    "LR/bird_x4.png": "has no LR image for 1 of 2",
    "HR/bird.png": "has 1 LR images without an HR image",
}


@pytest.mark.parametrize("gone", FAULTS)
def test_what_a_run_would_refuse_is_found_for_every_scale(tmp_path: Path, gone: str) -> None:
    build(tmp_path, "HR/{}.png", "LR_x2/{}.png")
    build(tmp_path, "HR/{}.png", "LR_bicubic/X3/{}x3.png", scale=3)
    build(tmp_path, "HR/{}.png", "LR/{}_x4.png", scale=4)
    assert pairing_faults(tmp_path) == []
    (tmp_path / gone).unlink()
    faults = pairing_faults(tmp_path)
    assert len(faults) == (3 if gone.startswith("HR") else 1)
    assert all(FAULTS[gone] in fault for fault in faults)


def test_an_empty_lr_folder_is_refused(tmp_path: Path) -> None:
    build(tmp_path, "HR/{}.png")
    (tmp_path / "LR_x2").mkdir()
    assert len(pairing_faults(tmp_path)) == 1
    with pytest.raises(DataError, match="LR_x2: is named like a folder of LR images and holds none"):
        open_dataset(tmp_path, 2, NTIRE23)


def test_lr_that_was_rounded_up_is_refused(tmp_path: Path) -> None:
    """MATLAB's imresize by 1/4 of 25 pixels gives 7, and 28 pixels of SR."""
    write_png(tmp_path / "HR" / "a.png", image(1, 25, 36))
    write_png(tmp_path / "LR" / "a.png", image(2, 7, 9))
    with pytest.raises(DataError, match=r"LR 9x7 times 4 is 36x28\. LR was rounded up"):
        open_dataset(tmp_path, 4, NTIRE23)


def test_names_that_end_like_a_scale_are_told_apart(tmp_path: Path) -> None:
    """HR images a and ax2, whose LR images have the same names, or the names with x2 appended."""
    for number, (first, second) in enumerate([("a", "ax2"), ("ax2", "ax2x2")]):
        folder = tmp_path / str(number)
        for seed, (hr, lr) in enumerate([("a", first), ("ax2", second)]):
            write_png(folder / "HR" / f"{hr}.png", image(seed, 24, 36))
            write_png(folder / "LR" / f"{lr}.png", image(seed + 7, 12, 18))
        dataset = open_dataset(folder, 2, NTIRE23)
        for seed in (0, 1):
            np.testing.assert_array_equal(dataset.pair(seed)[0], image(seed + 7, 12, 18))


@pytest.mark.parametrize("name", ["café", "Ångström", "한글"])
def test_names_that_look_the_same_are_the_same(tmp_path: Path, name: str) -> None:
    from unicodedata import normalize

    write_png(tmp_path / "HR" / f"{normalize('NFD', name)}.png", image(1, 24, 36))
    write_png(tmp_path / "LR_x2" / f"{normalize('NFC', name)}x2.png", image(2, 12, 18))
    dataset = open_dataset(tmp_path, 2, NTIRE23)
    assert dataset.names == [normalize("NFC", name)]
    np.testing.assert_array_equal(dataset.pair(0)[0], image(2, 12, 18))
    write_png(tmp_path / "HR" / f"{normalize('NFC', name)}.png", image(1, 24, 36))
    with pytest.raises(DataError, match="several images called"):
        open_dataset(tmp_path, 2, NTIRE23)
