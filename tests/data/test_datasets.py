"""Pairs from folders: matched, cropped, cached, fingerprinted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data import Dataset, datasets, degrade, get_degradation, open_dataset, write_png
from harness.data.cache import write_lr
from harness.data.datasets import Storage
from harness.errors import DataError, UsageError

NTIRE23 = get_degradation("ntire23")


def image(seed: int, height: int = 25, width: int = 34) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("b", "a", "c")):
        write_png(tmp_path / "Mine" / f"{name}.png", image(seed))
    return tmp_path / "Mine"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_folder_of_hr_images(folder: Path, cache: Path) -> None:
    dataset = open_dataset(folder, 2, NTIRE23, cache)
    assert (dataset.name, dataset.names, len(dataset), dataset.scale) == ("Mine", ["a", "b", "c"], 3, 2)
    lr, hr = dataset.pair(1)
    assert (lr.shape, hr.shape) == ((12, 17, 3), (24, 34, 3))
    np.testing.assert_array_equal(hr, image(0)[:24])
    np.testing.assert_array_equal(lr, degrade(hr, 2, NTIRE23))


def test_lr_is_taken_from_the_cache(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lr, _ = open_dataset(folder, 2, NTIRE23, cache).pair(0)
    (kept,) = (cache / "lr").iterdir()
    assert kept.read_bytes().startswith(lr.tobytes())
    monkeypatch.setattr(datasets, "degrade", lambda *_: pytest.fail("the LR image was generated again"))
    again, _ = open_dataset(folder, 2, NTIRE23, cache).pair(0)
    np.testing.assert_array_equal(again, lr)


@pytest.mark.parametrize("damage", ["cut", "empty", "longer", "one bit", "folder", "other size"])
def test_a_damaged_cache_file_is_made_again(folder: Path, cache: Path, damage: str) -> None:
    lr, _ = open_dataset(folder, 2, NTIRE23, cache).pair(0)
    (kept,) = (cache / "lr").iterdir()
    whole = kept.read_bytes()
    if damage == "folder":
        kept.unlink()
        kept.mkdir()
    elif damage == "other size":  # intact, but of another image
        write_lr(kept, lr[1:])
    else:
        flipped = bytes([whole[0] ^ 1]) + whole[1:]
        kept.write_bytes({"cut": whole[:100], "empty": b"", "longer": whole + b"x", "one bit": flipped}[damage])
    again, _ = open_dataset(folder, 2, NTIRE23, cache).pair(0)
    np.testing.assert_array_equal(again, lr)
    if damage != "folder":
        assert kept.read_bytes() == whole


def test_images_that_are_read_ahead_are_not_read_again(folder: Path, cache: Path) -> None:
    dataset = open_dataset(folder, 2, NTIRE23, cache)
    size = sum(one.nbytes for one in dataset.pair(0))
    (folder / "b.png").write_bytes(b"damaged")
    assert dataset.read_ahead(2 * size) == 2 * size  # the one that cannot be read is left out
    for path in folder.iterdir():
        path.unlink()
    assert dataset.pair(2)[1].shape == (24, 34, 3)
    with pytest.raises(DataError):
        dataset.pair(1)


def test_reading_ahead_ends_at_its_limit(folder: Path, cache: Path) -> None:
    dataset = open_dataset(folder, 2, NTIRE23, cache)
    assert dataset.read_ahead(1) == sum(one.nbytes for one in dataset.pair(0))
    (folder / "b.png").unlink()
    with pytest.raises(DataError):
        dataset.pair(1)


def test_a_changed_image_is_not_taken_from_the_cache(folder: Path, cache: Path) -> None:
    before, _ = open_dataset(folder, 2, NTIRE23, cache).pair(0)
    write_png(folder / "a.png", image(9))
    after, _ = open_dataset(folder, 2, NTIRE23, cache).pair(0)
    assert (before != after).any()


def test_a_cache_that_cannot_be_written_is_no_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lr, _ = open_dataset(folder, 2, NTIRE23, tmp_path / "file").pair(0)
    assert lr.shape == (12, 17, 3)


def test_given_lr_images_are_used(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_png(tmp_path / "set" / "HR" / f"{name}.png", image(1))
        write_png(tmp_path / "set" / "LR_x2" / f"{name}x2.png", image(2, 12, 17))
        write_png(tmp_path / "set" / "LR" / f"{name}.png", image(3, 8, 11))
    double = open_dataset(tmp_path / "set", 2, NTIRE23)
    np.testing.assert_array_equal(double.pair(0)[0], image(2, 12, 17))
    np.testing.assert_array_equal(double.pair(0)[1], image(1)[:24])
    assert double.degradation.description == "LR images as given in LR_x2"
    triple = open_dataset(tmp_path / "set", 3, NTIRE23)
    np.testing.assert_array_equal(triple.pair(1)[0], image(3, 8, 11))


def test_a_greyscale_lr_image_of_a_colour_hr_image_is_named(tmp_path: Path) -> None:
    grey = image(2, 12, 17)[..., 0]
    for name, hr in (("colour", image(1)), ("grey", image(1)[..., 0]), ("grey_in_rgb", image(1)[..., [0, 0, 0]])):
        (tmp_path / "LR_x2").mkdir(exist_ok=True)
        (tmp_path / "HR").mkdir(exist_ok=True)
        Image.fromarray(hr).save(tmp_path / "HR" / f"{name}.png")
        Image.fromarray(grey).save(tmp_path / "LR_x2" / f"{name}.png")
    dataset = open_dataset(tmp_path, 2, NTIRE23)
    with pytest.raises(DataError, match="is greyscale, but its HR image has colours") as caught:
        dataset.pair(dataset.names.index("colour"))
    assert caught.value.where == str(tmp_path / "LR_x2" / "colour.png")
    assert caught.value.hint == "save the LR image in RGB"
    for name in ("grey", "grey_in_rgb"):
        np.testing.assert_array_equal(dataset.pair(dataset.names.index(name))[0][..., 0], grey)


def test_lr_of_another_scale_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "HR" / "one.png", image(1))
    write_png(tmp_path / "LR" / "one.png", image(2, 12, 17))
    with pytest.raises(DataError, match="HR is 34x25"):
        open_dataset(tmp_path, 4, NTIRE23).pair(0)


def test_a_missing_lr_image_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "HR" / "one.png", image(1))
    write_png(tmp_path / "HR" / "two.png", image(1))
    write_png(tmp_path / "LR" / "one.png", image(2, 12, 17))
    with pytest.raises(DataError, match=r"1 of 2 HR images: two\.png"):
        open_dataset(tmp_path, 2, NTIRE23)


def test_an_hr_folder_is_called_by_its_set(tmp_path: Path) -> None:
    write_png(tmp_path / "Set9" / "HR" / "one.png", image(1))
    assert open_dataset(tmp_path / "Set9" / "HR", 2, NTIRE23).name == "Set9"
    assert open_dataset(tmp_path / "Set9", 2, NTIRE23).name == "Set9"


def test_the_fingerprint_follows_every_input(folder: Path, cache: Path) -> None:
    def fingerprint(scale: int = 2, degradation: str = "ntire23") -> str:
        return open_dataset(folder, scale, get_degradation(degradation), cache).fingerprint

    first = fingerprint()
    assert first == fingerprint()
    assert len(first) == 64
    assert len({first, fingerprint(scale=3), fingerprint(degradation="bicubic")}) == 3
    (folder / "a.png").rename(folder / "d.png")
    renamed = fingerprint()
    assert renamed != first
    write_png(folder / "d.png", image(7))
    assert fingerprint() != renamed


def test_decoded_pairs_are_kept_within_the_bounds(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pair in memory, one on disk, and the third is read again."""
    monkeypatch.setattr("harness.data.spool.SPARE", 0)
    paths = sorted(folder.iterdir())
    pairs = [open_dataset(folder, 2, NTIRE23, cache).pair(index) for index in range(3)]
    one_pair = sum(part.nbytes for part in pairs[0])
    dataset = Dataset("kept", paths, 2, NTIRE23, storage=Storage(cache, one_pair, one_pair))
    for index in (0, 1, 2, 0, 1, 2):
        for ours, expected in zip(dataset.pair(index), pairs[index], strict=True):
            np.testing.assert_array_equal(ours, expected)
    for path in paths:
        path.write_bytes(b"")
    assert dataset.pair(0)[1].flags.writeable
    assert not dataset.pair(1)[1].flags.writeable
    np.testing.assert_array_equal(dataset.pair(1)[0], pairs[1][0])
    with pytest.raises(DataError, match="not a readable image"):
        dataset.pair(2)
    assert list((cache / "decoded").iterdir()) == []


def test_a_disk_without_room_is_done_without(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.data.spool.SPARE", 1 << 60)
    dataset = Dataset("kept", sorted(folder.iterdir()), 2, NTIRE23, storage=Storage(cache, memory=0))
    first, again = dataset.pair(0), dataset.pair(0)
    assert first[1] is not again[1]
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("content", [(), ("notes.txt",)])
def test_a_folder_without_images_is_named(tmp_path: Path, content: tuple[str, ...]) -> None:
    for name in content:
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match="holds no images"):
        open_dataset(tmp_path, 2, NTIRE23)


def test_two_images_of_one_name_are_named(tmp_path: Path) -> None:
    write_png(tmp_path / "one.png", image(1))
    write_png(tmp_path / "one.webp", image(1))
    with pytest.raises(DataError, match="several images called one"):
        open_dataset(tmp_path, 2, NTIRE23)


def test_an_image_smaller_than_the_scale_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "one.png", image(1, 2, 9))
    with pytest.raises(DataError, match="smaller than the scale"):
        open_dataset(tmp_path, 3, NTIRE23).pair(0)


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_not_the_current_folder(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match="name of a data set is empty") as caught:
        open_dataset(name, 2, NTIRE23)
    assert caught.value.hint
    assert len(open_dataset(".", 2, NTIRE23)) == len(open_dataset(folder, 2, NTIRE23))


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="embedded"):
        open_dataset("Set6", 2, NTIRE23)
