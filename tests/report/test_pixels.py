import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from harness.errors import ResultsError, UsageError
from harness.report import load_run
from harness.report.page import build_report
from harness.report.pixels import Piece, pieces
from harness.report.rows import scored_rows
from harness.results.crops import MOST_IMAGES, Choice, CropStore, parse_choice
from harness.results.worst_windows import worst_windows


def picture(seed, height=100, width=140):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_window_is_where_the_reference_loses_most():
    hr = np.full((128, 160, 3), 100, np.uint8)
    reference = hr.copy()
    reference[64:96, 96:128] = 180
    assert worst_windows(hr, reference, 32, 1) == [(64, 96, 32, 32)]


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 64), st.integers(0, 999))
def test_the_window_lies_in_the_image_and_no_other_start_is_worse(height, width, size, seed):
    hr, reference = picture(seed, height, width), picture(seed + 1, height, width)
    y, x, tall, wide = worst_windows(hr, reference, size, 1)[0]
    assert 0 <= y <= height - tall
    assert 0 <= x <= width - wide
    loss = ((hr.astype(int) - reference.astype(int)) ** 2).sum(axis=2)
    starts_y, starts_x = ({*range(0, n - m, max(1, m // 4)), n - m} for n, m in ((height, tall), (width, wide)))
    assert loss[y : y + tall, x : x + wide].sum() == max(
        loss[a : a + tall, b : b + wide].sum() for a in starts_y for b in starts_x
    )


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(0, 999))
def test_windows_of_one_image_do_not_overlap(height, width, size, seed):
    found = worst_windows(picture(seed, height, width), picture(seed + 1, height, width), size, 4)
    assert 1 <= len(found) <= 4
    cover = np.zeros((height, width), int)
    for y, x, tall, wide in found:
        cover[y : y + tall, x : x + wide] += 1
    assert cover.max() == 1


def test_what_is_kept_is_the_pixels(tmp_path):
    store = CropStore(tmp_path, images=["a"], size=64)
    hr, reference, sr = picture(1), picture(2), picture(3)
    store.begin("a", hr, reference)
    store.add("a", "net", sr)
    store.add("unknown", "net", sr)
    (window,) = CropStore(tmp_path).windows()
    piece = np.s_[window.y : window.y + 64, window.x : window.x + 64]
    for name, whole in (("hr", hr), ("reference", reference), ("models/net", sr)):
        with Image.open(store.path(window, name)) as kept:
            np.testing.assert_array_equal(np.asarray(kept), whole[piece])


def test_a_resumed_run_keeps_its_windows(tmp_path):
    names = ["a", *(f"b{number}" for number in range(MOST_IMAGES + 3))]
    CropStore(tmp_path, images=names, size=32).begin("a", picture(1), picture(2))
    before = (tmp_path / "crops" / "crops.json").read_bytes()
    again = CropStore(tmp_path, images=names, size=32)
    again.begin("a", picture(3), picture(4))
    assert (tmp_path / "crops" / "crops.json").read_bytes() == before
    for name in names:
        again.begin(name, picture(1), picture(2))
    assert len(again.windows()) == MOST_IMAGES  # while candidates wait for the models, one of each image


@pytest.mark.parametrize(
    ("options", "wanted"), [({}, 30), ({"choices": [Choice("n1", 0, 0, 32)]}, 31), ({"whole": True}, 60)]
)
def test_only_images_of_which_crops_are_chosen_are_wanted(tmp_path, options, wanted):
    names = [f"n{number}" for number in range(60)]
    store, found = CropStore(tmp_path, "set", images=names, size=32, **options), 0
    for name in names:
        before, wants = len(store._windows), store.wants(name)
        store.begin(name, picture(1), picture(2))
        assert (len(store._windows) > before) == wants
        assert not store.wants(name)
        found += wants
    assert found == wanted
    again = CropStore(tmp_path, "set", images=names, size=32)  # without choices nothing is left to choose
    assert not any(again.wants(name) for name in names)


def kept_run(folder, models, **options):
    """Let models run on images of noise: (name, how they change the truth) by image."""
    images = sorted(next(iter(models.values())))
    for slug, changes in models.items():
        store = CropStore(folder, "set", images=images, size=32, **options)
        for seed, image in enumerate(images):
            hr = picture(seed)
            store.begin(image, hr, np.roll(hr, 1, axis=0))
            store.add(image, slug, changes[image](hr.copy()))
    return CropStore(folder, "set", images=images, size=32, **options)


def darker(y, x, by):
    """Return a model that darkens one square of 32 pixels."""

    def change(picture):
        picture[y : y + 32, x : x + 32] = picture[y : y + 32, x : x + 32] // by
        return picture

    return change


def same(picture):
    return picture


def test_the_piece_that_stays_is_where_models_differ_most(tmp_path):
    store = kept_run(tmp_path, {"one": {"a": same, "b": same}, "two": {"a": darker(64, 96, 4), "b": darker(0, 0, 2)}})
    candidates = json.loads((tmp_path / "crops" / "crops.json").read_text())
    assert len(candidates) > 4
    store.keep_most_disputed(["one", "two"])
    windows = {window.image: window for window in store.windows()}
    assert sorted(windows) == ["a", "b"]
    for image, seed in (("a", 0), ("b", 1)):
        other = {"a": darker(64, 96, 4), "b": darker(0, 0, 2)}[image](picture(seed).copy()).astype(float)
        gap = (other - picture(seed)) ** 2
        means = {}
        for one in candidates:
            if one["image"] == image:
                square = gap[one["y"] : one["y"] + one["height"], one["x"] : one["x"] + one["width"]]
                means[one["x"], one["y"]] = square.mean()
        window = windows[image]
        assert means[window.x, window.y] == max(means.values())
        # of two values the standard deviation is half their distance
        assert window.dispute == pytest.approx(np.sqrt(max(means.values())) / 2, abs=1e-3)
    assert len([path for path in (tmp_path / "crops").iterdir() if path.is_dir()]) == 2


def test_what_was_settled_stays_for_models_that_come_later(tmp_path):
    kept_run(tmp_path, {"one": {"a": same}, "two": {"a": darker(0, 0, 3)}}).keep_most_disputed(["one", "two"])
    before = CropStore(tmp_path).windows()
    later = kept_run(tmp_path, {"three": {"a": darker(64, 96, 8)}})
    later.keep_most_disputed(["one", "two", "three"])
    assert later.windows() == before
    assert later.path(before[0], "models/three").is_file()


def test_one_model_differs_from_nobody(tmp_path):
    store = kept_run(tmp_path, {"one": {"a": same}})
    store.keep_most_disputed(["one"])
    assert [window.why for window in store.windows()] == ["loss"]


def test_chosen_squares_and_whole_images_are_kept(tmp_path):
    choice = Choice("a", 10, 20, 30)
    store = kept_run(tmp_path, {"one": {"a": same}, "two": {"a": same}}, choices=[choice], whole=True)
    store.keep_most_disputed(["one", "two"])
    by_reason = {window.why: window for window in store.windows()}
    assert by_reason["choice"].place == ("a", 10, 20, 30, 30)
    assert by_reason["whole"].place == ("a", 0, 0, 140, 100)
    with Image.open(store.path(by_reason["choice"], "models/one")) as kept:
        np.testing.assert_array_equal(np.asarray(kept), picture(0)[20:50, 10:40])
    with Image.open(store.path(by_reason["whole"], "hr")) as kept:
        np.testing.assert_array_equal(np.asarray(kept), picture(0))
    assert store.unseen() == []
    others = [Choice("a", 0, 0, 8), Choice("a", 10, 20, 31)]  # elsewhere, and larger
    late = CropStore(tmp_path, "set", images=["a"], choices=[choice, *others])
    assert late.unseen() == others


@pytest.mark.parametrize("text", ["castle", "castle:1,2", "castle:1,2,3,4", ":1,2,3", "castle:-1,2,3", "castle:1,2,0"])
def test_a_crop_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="is not a crop"):
        parse_choice(text)


def test_a_crop_is_read():
    assert parse_choice("night: market:640,320,192") == Choice("night: market", 640, 320, 192)


def test_a_damaged_list_is_named(tmp_path):
    CropStore(tmp_path, images=["a"]).begin("a", picture(1), picture(2))
    (tmp_path / "crops" / "crops.json").write_text("[{}]")
    with pytest.raises(ResultsError, match="crops"):
        CropStore(tmp_path)


def test_the_page_gives_the_psnr_of_the_piece(fake_run):
    folder = load_run(fake_run)
    found = pieces(folder, scored_rows(folder))
    assert [len(piece.shots) for piece in found] == [9, 9]
    assert found[0].dispute >= found[1].dispute
    for piece in found:
        base = fake_run / "crops" / piece.window.folder
        hr = np.asarray(Image.open(base / "hr.webp"))
        shot = next(shot for shot in piece.shots if shot.title == "LRSRN")
        ours = np.asarray(Image.open(fake_run / shot.link))
        assert shot.psnr == pytest.approx(peak_signal_noise_ratio(hr, ours))


def test_lr_is_kept_with_each_pixel_enlarged_and_the_place_in_the_image(tmp_path):
    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    hr = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    store = CropStore(tmp_path, choices=[Choice("a", 7, 3, 16)])
    store.begin("a", hr, hr // 2, lr)
    (window,) = store.windows()
    with Image.open(store.path(window, "lr")) as kept:
        pixels = np.asarray(kept.convert("RGB"))
    for y, x in ((0, 0), (5, 8), (15, 15)):
        assert pixels[y, x].tolist() == lr[(window.y + y) // 2, (window.x + x) // 2].tolist()
    assert window.image_size == (60, 40)
    frame = Piece(window, [], [], "").frame
    assert frame == "left:11.67%;top:7.50%;width:26.67%;height:40.00%"


def test_a_run_without_crops_has_no_page_of_pixels(make_run):
    run = make_run()
    (run / "crops" / "crops.json").unlink()
    assert "pixels.html" not in build_report(run).read_text(encoding="utf-8")
    assert not (run / "pixels.html").exists()


def test_a_picture_of_another_size_is_named(make_run):
    run = make_run()
    (window, *_) = CropStore(run).windows()
    Image.new("RGB", (8, 8)).save(run / "crops" / window.folder / "models" / "row-0.webp", lossless=True)
    with pytest.raises(ResultsError, match="shape"):
        build_report(run)
