import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from harness.errors import ResultsError
from harness.report import build_report, load_run
from harness.report.pixels import pieces
from harness.report.rows import scored_rows
from harness.results.crops import MOST_IMAGES, CropStore, worst_window


def picture(seed, height=100, width=140):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_window_is_where_the_reference_loses_most():
    hr = np.full((128, 160, 3), 100, np.uint8)
    reference = hr.copy()
    reference[64:96, 96:128] = 180
    assert worst_window(hr, reference, 32) == (64, 96, 32, 32)


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 64), st.integers(0, 999))
def test_the_window_lies_in_the_image_and_no_other_start_is_worse(height, width, size, seed):
    hr, reference = picture(seed, height, width), picture(seed + 1, height, width)
    y, x, tall, wide = worst_window(hr, reference, size)
    assert 0 <= y <= height - tall
    assert 0 <= x <= width - wide
    loss = ((hr.astype(int) - reference.astype(int)) ** 2).sum(axis=2)
    starts_y, starts_x = ({*range(0, n - m, max(1, m // 4)), n - m} for n, m in ((height, tall), (width, wide)))
    assert loss[y : y + tall, x : x + wide].sum() == max(
        loss[a : a + tall, b : b + wide].sum() for a in starts_y for b in starts_x
    )


def test_what_is_kept_is_the_pixels(tmp_path):
    store = CropStore(tmp_path)
    hr, reference, sr = picture(1), picture(2), picture(3)
    store.begin("a", hr, reference, 64)
    store.add("a", "net", sr)
    store.add("unknown", "net", sr)
    (window,) = CropStore(tmp_path).windows()
    piece = np.s_[window.y : window.y + 64, window.x : window.x + 64]
    for name, whole in (("hr", hr), ("reference", reference), ("models/net", sr)):
        with Image.open(store.path(window, name)) as kept:
            np.testing.assert_array_equal(np.asarray(kept), whole[piece])


def test_a_resumed_run_keeps_its_windows(tmp_path):
    CropStore(tmp_path).begin("a", picture(1), picture(2), 32)
    before = (tmp_path / "crops" / "crops.json").read_bytes()
    again = CropStore(tmp_path)
    again.begin("a", picture(3), picture(4), 32)
    assert (tmp_path / "crops" / "crops.json").read_bytes() == before
    for number in range(MOST_IMAGES + 3):
        again.begin(f"b{number}", picture(1), picture(2), 32)
    assert len(again.windows()) == MOST_IMAGES


def test_a_damaged_list_is_named(tmp_path):
    CropStore(tmp_path).begin("a", picture(1), picture(2), 32)
    (tmp_path / "crops" / "crops.json").write_text("[{}]")
    with pytest.raises(ResultsError, match="crops"):
        CropStore(tmp_path)


def test_the_page_gives_the_psnr_of_the_piece(fake_run):
    folder = load_run(fake_run)
    found = pieces(folder, scored_rows(folder))
    assert [len(piece.shots) for piece in found] == [8, 8]
    assert found[0].dispute >= found[1].dispute
    for piece in found:
        base = fake_run / "crops" / piece.window.folder
        hr = np.asarray(Image.open(base / "hr.webp"))
        shot = next(shot for shot in piece.shots if shot.title == "LRSRN")
        ours = np.asarray(Image.open(fake_run / shot.link))
        assert shot.psnr == pytest.approx(peak_signal_noise_ratio(hr, ours))


def test_a_run_without_crops_has_no_page_of_pixels(make_run):
    run = make_run()
    (run / "crops" / "crops.json").unlink()
    assert "pixels.html" not in build_report(run).read_text(encoding="utf-8")
    assert not (run / "pixels.html").exists()


def test_a_picture_of_another_size_is_named(make_run):
    run = make_run()
    windows = json.loads((run / "crops" / "crops.json").read_text())
    Image.new("RGB", (8, 8)).save(run / "crops" / windows[0]["folder"] / "models" / "row-0.webp", lossless=True)
    with pytest.raises(ResultsError, match="shape"):
        build_report(run)
