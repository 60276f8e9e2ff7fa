"""Damaged image files of every format: pixels or an error that names the file, and nothing else."""

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import image_files
import pytest
from damage import mutated
from PIL import Image

from harness.data import read_rgb
from harness.data.images import image_size
from harness.errors import DataError

INPUTS = 60


@pytest.mark.parametrize("inputs", [INPUTS, pytest.param(1000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kind", image_files.readable())
def test_a_damaged_file_is_read_or_named(tmp_path: Path, kind: str, inputs: int) -> None:
    random, files, path = Random(f"{kind}{inputs}"), image_files.readable()[kind], tmp_path / "image.png"
    outcomes = set()
    for _ in range(inputs):
        path.write_bytes(mutated(random.choice(files), random))
        error = error_of(read_rgb, path)
        outcomes.add(error is None)
        assert error is None or error.hint
    assert False in outcomes


def error_of(read: Callable[[Path], object], path: Path) -> DataError | None:
    """Return the error of reading a file, which names it; None if it was read."""
    try:
        read(path)
    except DataError as error:
        named = error
    else:
        return None
    assert named.where == str(path)
    return named


@pytest.mark.parametrize("kind", image_files.readable())
def test_every_truncation_is_read_or_named(tmp_path: Path, kind: str) -> None:
    path, content = tmp_path / "image.png", image_files.readable()[kind][0]
    for end in {0, 1, *range(2, len(content), max(1, len(content) // 40))}:
        path.write_bytes(content[:end])
        for read in (read_rgb, image_size):
            error_of(read, path)
    path.write_bytes(content)
    assert error_of(read_rgb, path) is None


@pytest.mark.parametrize(
    "error", [RuntimeError("Failed to decode image"), KeyError(3), MemoryError(), RecursionError(), ZeroDivisionError()]
)
def test_any_exception_of_a_decoder_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(_self: Image.Image) -> None:
        raise error

    Image.fromarray(image_files.PIXELS).save(tmp_path / "image.png")
    monkeypatch.setitem(sys.modules, "kornia_rs.io", None)  # which would decode it in place of Pillow
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", broken)
    with pytest.raises(DataError, match=r"image\.png: "):
        read_rgb(tmp_path / "image.png")


def test_a_large_image_gives_no_warning_and_one_that_is_too_large_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warnings are errors in these tests. The limit of Pillow is twice the size at which it warns."""
    Image.fromarray(image_files.PIXELS).save(tmp_path / "image.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert read_rgb(tmp_path / "image.png").shape == image_files.PIXELS.shape
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(DataError, match=r"620 pixels\) exceeds limit of 600 pixels\)\. Crop it into smaller images"):
        read_rgb(tmp_path / "image.png")
