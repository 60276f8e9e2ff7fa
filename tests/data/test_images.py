"""Reading images: 8-bit RGB, or an error that names the image and how to fix it."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data import list_images, read_rgb, write_png
from harness.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm"])
def test_lossless_formats_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(PIXELS).save(path, **({"lossless": True} if suffix == "webp" else {}))
    image = read_rgb(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, PIXELS)


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_greyscale_and_palette_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    image.save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "image.png"), np.array(image.convert("RGB")))


def sixteen_bit_rgb(path: Path) -> None:
    """Write a 16-bit RGB PNG by hand, since Pillow cannot."""
    height, width, _ = PIXELS.shape
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in PIXELS)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def sixteen_bit_grey(path: Path) -> None:
    Image.fromarray(PIXELS[..., 0].astype(np.uint16)).save(path)


def half_a_file(path: Path) -> None:
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:600])


def see_through_palette(path: Path) -> None:
    Image.fromarray(PIXELS).convert("P").save(path, transparency=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (sixteen_bit_rgb, "more than 8 bits"),
        (sixteen_bit_grey, "more than 8 bits"),
        (lambda path: Image.fromarray(PIXELS).convert("RGBA").save(path), "alpha"),
        (lambda path: Image.fromarray(PIXELS).convert("LA").save(path), "alpha"),
        (see_through_palette, "alpha"),
        (half_a_file, "not a readable image"),
        (lambda path: path.write_bytes(b"no image"), "not a readable image"),
        (lambda path: path.write_bytes(b""), "not a readable image"),
        (lambda path: None, "no such image"),
    ],
    ids=["16-bit RGB", "16-bit grey", "RGBA", "LA", "palette with alpha", "truncated", "text", "empty", "missing"],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "image.png"
    make(path)
    with pytest.raises(DataError, match=message) as caught:
        read_rgb(path)
    assert str(path) in str(caught.value)


def test_cmyk_jpeg_is_named(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "image.jpg")
    with pytest.raises(DataError, match="CMYK"):
        read_rgb(tmp_path / "image.jpg")


def test_sixteen_bit_tiff_is_named(tmp_path: Path) -> None:
    sixteen_bit_grey(tmp_path / "image.tif")
    with pytest.raises(DataError, match="more than 8 bits"):
        read_rgb(tmp_path / "image.tif")


def test_an_image_of_absurd_size_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"huge\.png: not a readable image \(Image size \(620 pixels\) exceeds limit"):
        read_rgb(tmp_path / "huge.png")


def test_written_png_comes_back_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_png(tmp_path / "deep" / "image.png", PIXELS)
    np.testing.assert_array_equal(read_rgb(tmp_path / "deep" / "image.png"), PIXELS)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["image.png"]


def test_images_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt", "c.webp"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png", "c.webp"]
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "nowhere")


def test_a_broken_link_or_a_pipe_among_images_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", PIXELS)
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    assert len(list_images(tmp_path)) == 2
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    for use in (lambda: list_images(tmp_path), lambda: read_rgb(tmp_path / "b.png")):
        with pytest.raises(DataError, match=r"b\.png: is a broken link to .*gone\.png\. Mend the link"):
            use()
    (tmp_path / "b.png").unlink()
    os.mkfifo(tmp_path / "c.png")
    for use in (lambda: list_images(tmp_path), lambda: read_rgb(tmp_path / "c.png")):
        with pytest.raises(DataError, match=r"c\.png: is no plain file"):
            use()


def test_the_greyscale_image_of_set14(shared: Path) -> None:
    bridge = read_rgb(shared / "data/Set14/HR/bridge.png")
    assert bridge.shape[2] == 3
    np.testing.assert_array_equal(bridge[..., 0], bridge[..., 2])
