import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import ResultsError, UsageError
from harness.report import load_run
from harness.report.crop_grid import GridStyle, crop_grid
from harness.report.crop_layout import layout_of
from harness.report.crop_pictures import CropPictures
from harness.report.figure_file import write_figure
from harness.results.crops import Choice
from harness.results.run_folder import find_entry

CROP = Choice("castle", 170, 90, 100)  # inside of the stored crop of 160 pixels at 160, 80


@pytest.fixture(scope="module")
def folder(fake_run):
    return load_run(fake_run)


@pytest.fixture(scope="module")
def grid(folder):
    style = GridStyle(7.0, "y", ["LRSRN"])
    return crop_grid(folder, [CROP, Choice("harbour", 200, 100, 80)], ["LRSRN", "IMDN"], style)


@pytest.fixture
def call():
    def run(*words):
        return CliRunner().invoke(app, ["figure", *map(str, words)], env={"COLUMNS": "300"})

    return run


def stored(folder, name):
    with Image.open(folder.path / "crops" / "00" / f"{name}.webp") as picture:
        return np.asarray(picture.convert("RGB"))[10:110, 10:110]


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_pictures_are_the_pixels_that_the_run_stored(folder, tmp_path):
    figure = crop_grid(folder, [CROP], ["LRSRN"], GridStyle()).figure
    write_figure(figure, tmp_path / "a.svg")
    found = re.findall(r"data:image/png;base64,\s*([^\"]+)\"", (tmp_path / "a.svg").read_text())
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in found]
    wanted = [stored(folder, name) for name in ("hr", "reference", f"models/{find_entry(folder, 'LRSRN').slug}")]
    for expected, picture in zip(wanted, pictures[1:], strict=True):  # the first is the whole image
        upright = picture if np.array_equal(picture, expected) else picture[::-1]
        np.testing.assert_array_equal(upright, expected)


def test_figures_are_those_of_the_image_with_the_best_submission_bold(folder, grid):
    shown = texts(grid.figure)
    for name in ("LRSRN", "IMDN", "bicubic"):
        measures = folder.per_image[find_entry(folder, name).slug]["castle"]
        assert f"{measures['psnr_y']:.2f}" in shown
        assert f"{measures['ssim_y']:.4f}" in shown
    best = folder.per_image[find_entry(folder, "IMDN").slug]
    bold = {text.get_text() for text in grid.figure.texts if text.get_fontweight() == "bold"}
    assert bold == {"LRSRN", *(f"{best[image]['psnr_y']:.2f}" for image in ("castle", "harbour")),
                    f"{best['castle']['ssim_y']:.4f}"}  # fmt: skip
    assert any("SSIM on Y, of the whole image" in text for text in shown)


def test_the_frame_lies_where_the_crop_was_cut(folder):
    whole = CropPictures(folder, CROP).overview
    assert (whole.left, whole.top) == pytest.approx((170 / 320, 90 / 240))
    assert (whole.width, whole.height) == pytest.approx((100 / 320, 100 / 240))
    edge = CropPictures(folder, Choice("castle", 300, 220, 100))  # what lies outside is cut off
    assert edge.truth.shape == (20, 20, 3)


def test_figures_of_the_crop_alone_are_computed_from_it(call, folder, tmp_path):
    target = tmp_path / "crop.svg"
    done = call(folder.path, "--crops", "castle:170,90,100", "--models", "LRSRN", "--quality", "crop", "-o", target)
    assert done.exit_code == 0, done.output
    sr, hr = (stored(folder, name).astype(float) for name in (f"models/{find_entry(folder, 'LRSRN').slug}", "hr"))
    assert f">{10 * np.log10(255**2 / np.mean((sr - hr) ** 2)):.2f}<" in target.read_text()
    assert "of the crop alone" in target.read_text()


def test_saved_outputs_stand_in_for_crops_that_were_not_kept(make_run):
    folder = load_run(make_run())
    entry = find_entry(folder, "OV")
    with pytest.raises(UsageError, match=r"castle:170,90,100 of 'OV'.*--crop castle:170,90,100 --fresh"):
        crop_grid(folder, [CROP], ["OV"], GridStyle())
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    (folder.path / "images" / entry.slug).mkdir(parents=True)
    Image.fromarray(pixels).save(folder.path / "images" / entry.slug / "castle.png")
    np.testing.assert_array_equal(CropPictures(folder, CROP).of_model(entry), pixels[90:190, 170:270])
    Image.fromarray(pixels[:150]).save(folder.path / "images" / entry.slug / "castle.png")
    with pytest.raises(ResultsError, match="another size"):
        CropPictures(folder, CROP).of_model(entry)


def test_crops_of_a_run_with_several_data_sets_are_of_the_first(make_run):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    images = results["dataset"]["image_names"]
    results["datasets"] = [{**results["dataset"], "label": "first"}, {**results["dataset"], "label": "second"}]
    results["dataset"]["image_names"] = [f"{label}/{name}" for label in ("first", "second") for name in images]
    (run / "results.json").write_text(json.dumps(results))
    table = (run / "per_image.csv").read_text()
    (run / "per_image.csv").write_text(re.sub(r"^(row-\d+),", r"\1,first/", table, flags=re.MULTILINE))
    folder = load_run(run)
    psnr = folder.per_image[find_entry(folder, "IMDN").slug]["first/castle"]["psnr_rgb"]
    for name in ("castle", "first/castle"):
        assert f"{psnr:.2f}" in texts(crop_grid(folder, [Choice(name, 170, 90, 100)], ["IMDN"], GridStyle()).figure)
    with pytest.raises(UsageError, match="did not keep second/castle"):
        crop_grid(folder, [Choice("second/castle", 170, 90, 100)], ["IMDN"], GridStyle())


def test_one_submission_is_not_called_the_best(folder):
    figure = crop_grid(folder, [CROP], ["IMDN"], GridStyle()).figure
    assert not [text for text in figure.texts if text.get_fontweight() == "bold" or "bold" in text.get_text()]


def test_without_names_the_best_submissions_with_pictures_are_shown(folder):
    shown = texts(crop_grid(folder, [CROP], [], GridStyle()).figure)
    assert {"LRSRN", "RT4KSR", "IMDN"} <= set(shown)
    assert "ALONG" not in shown


def test_a_run_without_crops_says_how_to_keep_them(make_run):
    run = make_run()
    shutil.rmtree(run / "crops")
    with pytest.raises(UsageError, match=r"did not keep castle:170,90,100.*--crop castle:170,90,100 --fresh"):
        crop_grid(load_run(run), [CROP], [], GridStyle())


@given(
    cells=st.integers(1, 20),
    width=st.floats(72, 2880),
    aspect=st.floats(0.2, 5),
    whole=st.none() | st.floats(0.2, 5),
)
def test_pictures_fill_the_width_and_the_whole_image_is_as_high_as_they_are(cells, width, aspect, whole):
    found = layout_of(cells, width, aspect, whole)
    assert found.columns * found.lines >= cells
    gaps = found.columns if found.overview else found.columns - 1
    assert found.columns * found.width + found.overview + 4 * gaps == pytest.approx(width)
    assert found.height == pytest.approx(found.width / aspect)
    if found.overview:
        assert found.overview / whole == pytest.approx(found.total - 19)
        assert found.width >= 57


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--crops", "castel:170,90,100"], "did you mean 'castle'"),
        (["--crops", "castle:0,0,200"], "it kept castle:160,80,160"),
        (["--crops", "castle:400,0,50"], "lies outside of it"),
        (["--crops", "castle:1,2"], "is not a crop"),
        (["--crops", "castle:170,90,5"], "choose a size of 11"),
        (["--crops", "castle:170,90,100", "--models", "Slumber"], "no answer within 600 s"),
        (["--crops", "castle:170,90,100", "--models", "IMDN", "--highlight", "LRSRN"], "is not shown"),
        (["--crops", "castle:170,90,100", "--x", "fps"], "--x belongs to a scatter plot"),
        (["--crops", "castle:170,90,100", "--height", "3in"], "--height belongs to a scatter plot"),
        (["--channel", "y"], "--channel belongs to --crops"),
    ],
)
def test_what_is_odd_is_bad_usage(call, fake_run, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    done = call(fake_run, *words)
    assert done.exit_code == 2, done.output
    assert part.lower() in " ".join(done.output.split()).lower()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_picture_is_named(make_run):
    run = make_run()
    (run / "crops" / "00" / "hr.webp").write_bytes(b"no picture")
    with pytest.raises(ResultsError, match=r"hr\.webp"):
        crop_grid(load_run(run), [CROP], [], GridStyle())


@pytest.mark.parametrize("page", ["commands.md", "report.md"])
def test_the_documented_crops_can_be_drawn(tmp_path, monkeypatch, page):
    root = Path(__file__).parents[2]
    text = (root / "docs" / page).read_text(encoding="utf-8")
    (line,) = re.findall(r"`harness (figure RUN --crops [^`]*)`", text)
    monkeypatch.chdir(tmp_path)
    words = [str(root / "reports" / "sample") if word == "RUN" else word for word in line.split()]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "crops.pdf").stat().st_size > 1000
    for crop in re.findall(r"(\w[\w-]*):\d+,\d+,\d+", text):
        assert crop in load_run(root / "reports" / "sample").run.dataset.image_names
