"""Training images: the catalogue is valid, and all listed images are written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.images import read_rgb
from training.prepare_data import Source, prepare, read_catalogue
from training.prepare_embedded import read_recipes
from training.renderings import DRAWN, write_renderings

FREE = ("CC0-1.0", "CC-BY-", "CC-BY-SA-", "LGPL-", "GPL-", "LicenseRef-Public-Domain")
BENCHMARKS = ("set5", "set14", "b100", "urban100", "manga109", "kodak", "kodim")


def test_every_source_is_free_and_has_an_author() -> None:
    assert all(source.licence.startswith(FREE) and source.author for source in read_catalogue())


def test_names_are_unique_and_no_benchmark() -> None:
    names = [source.name for source in read_catalogue()]
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith(BENCHMARKS)]


def test_no_source_file_of_the_embedded_set_is_trained_on() -> None:
    embedded = {(recipe.package, Path(recipe.path).parent) for recipe in read_recipes() if recipe.resize}
    wallpapers = {pair for pair in embedded if "contents" in pair[1].parts}
    assert wallpapers
    assert not wallpapers & {(source.package, Path(source.file).parent) for source in read_catalogue()}


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    sources = [
        Source("half", "shared/photos", "a.png", "A", "CC0-1.0", 2.0),
        Source("whole", "shared/photos", "a.png", "A", "CC0-1.0", 1.0),
        Source("lost", "shared/photos", "b.png", "A", "CC0-1.0", 2.0),
        Source("nowhere", "shared/absent", "a.png", "A", "CC0-1.0", 2.0),
    ]
    keys = ("name", "package", "file", "author", "licence")
    lines = [
        "[[image]]\n"
        + "".join(f'{key} = "{getattr(source, key)}"\n' for key in keys)
        + f"downscale = {source.downscale}\n"
        for source in sources
    ]
    path = tmp_path / "images.toml"
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_prepare_downscales_and_skips_what_is_absent(
    catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "shared" / "photos"
    photos.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photos / "a.png")
    assert prepare(tmp_path / "out", tmp_path / "shared", catalogue) == 2
    sizes = {path.name: read_rgb(path).shape[:2] for path in (tmp_path / "out").iterdir()}
    assert sizes == {"half.png": (15, 20), "whole.png": (30, 41)}
    printed = capsys.readouterr().out
    assert "skipped lost: shared/photos has no b.png" in printed
    assert "skipped shared/absent" in printed


def test_prepare_says_what_it_needs_where_apt_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert prepare(tmp_path / "out", tmp_path / "shared") == 0
    assert "skipped mate-backgrounds: apt-get and dpkg-deb are needed" in capsys.readouterr().out


def test_renderings_are_the_same_every_time_and_full_of_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [name for name in DRAWN if name.endswith("-0")]
    monkeypatch.setattr("training.renderings.DRAWN", {name: DRAWN[name] for name in drawn})
    for folder in ("a", "b"):
        assert write_renderings(tmp_path / folder) == len(drawn) == 2
    for name in drawn:
        first, second = (read_rgb(tmp_path / folder / f"rendering-{name}.png") for folder in ("a", "b"))
        assert np.array_equal(first, second)
        assert np.abs(np.diff(first.astype(int), axis=1)).mean() > 5.0  # a photograph has 2 to 8
