"""Bits per channel: every file with 8 bits is read, every file with more is refused, whatever its size and layout."""

from pathlib import Path

import image_files
import numpy as np
import pytest
from image_files import PIXELS, encoded
from PIL import Image

from harness.data import read_rgb
from harness.errors import DataError


def rgb_of(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def test_bmp_of_every_width(tmp_path: Path) -> None:
    """The stride of a line is 160, 162, 1600 or 16000 bytes at some widths, such as 2160 at 720 pixels."""
    path = tmp_path / "image.bmp"
    row = np.random.default_rng(3).integers(0, 256, (1, 2000, 3), dtype=np.uint8)
    for width in range(1, 2001):
        Image.fromarray(row[:, :width]).save(path)
        np.testing.assert_array_equal(read_rgb(path), row[:, :width])


def test_compressed_tiff_of_many_sizes(tmp_path: Path) -> None:
    """The directory follows the pixels, at an offset whose digits contain 16 at some sizes."""
    path, offsets = tmp_path / "image.tif", set()
    for width in range(1, 800, 7):
        pixels = np.random.default_rng(width).integers(0, 256, (13, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, compression="tiff_lzw")
        offsets.add(int.from_bytes(path.read_bytes()[4:8], "little"))
        np.testing.assert_array_equal(read_rgb(path), pixels)
    assert any("16" in str(offset) for offset in offsets)


Image.init()


@pytest.mark.parametrize("kind", sorted(Image.SAVE))
def test_what_pillow_writes_is_read_or_named(tmp_path: Path, kind: str) -> None:
    """RGB, grey and palette images in every format that Pillow writes without loss come back to the pixel."""
    for mode in ("RGB", "L", "P", "1"):
        image = Image.fromarray(PIXELS).convert(mode)
        path = tmp_path / "image.png"
        try:
            path.write_bytes(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
        except Exception:  # noqa: BLE001 - Pillow cannot write this mode in this format
            continue
        found = read_or_named(path)
        if kind in LOSSLESS:
            np.testing.assert_array_equal(found, rgb_of(image))
        assert isinstance(found, DataError) or found.shape == PIXELS.shape


LOSSLESS = {"PNG", "BMP", "DIB", "TIFF", "PPM", "WEBP", "TGA", "PCX", "SGI"}


def read_or_named(path: Path) -> np.ndarray | DataError:
    """Return the pixels, or the error, which names the file."""
    try:
        return read_rgb(path)
    except DataError as error:
        named = error
    assert str(path) in str(named)
    return named


@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
@pytest.mark.parametrize("largest", [1, 15, 16, 116, 160, 216, 254, 255])
def test_ppm_with_any_largest_value_of_8_bits(tmp_path: Path, magic: str, largest: int) -> None:
    path = tmp_path / "image.ppm"
    path.write_bytes(image_files.ppm(magic, largest))
    values = image_files.samples(magic, largest)
    expected = values * 255 / largest  # the largest value is white
    pixels = read_rgb(path).astype(float)
    pixels = pixels if values.ndim == 3 else pixels[..., 0]
    assert np.abs(pixels - expected).max() <= 1.0  # decoders round or truncate


@pytest.mark.parametrize("content", [b"BGR;16", b"BGR;15"])
def test_bmp_of_16_bits_per_pixel_has_fewer_than_8_per_channel(tmp_path: Path, content: bytes) -> None:
    """By hand: one row of 4 pixels with 5, 6 and 5 bits (or 5 each), red, green, blue and white."""
    green = 6 if content == b"BGR;16" else 5
    masks = (0x1F << (green + 5), ((1 << green) - 1) << 5, 0x1F)
    pixels = [masks[0], masks[1], masks[2], sum(masks)]
    head = (40).to_bytes(4, "little") + (4).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\1\0" + b"\x10\0"
    head += (3).to_bytes(4, "little") + (8).to_bytes(4, "little") + bytes(16)
    table = b"".join(mask.to_bytes(4, "little") for mask in masks)
    start = 14 + len(head) + len(table)
    data = b"".join(pixel.to_bytes(2, "little") for pixel in pixels)
    file = b"BM" + (start + len(data)).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    (tmp_path / "image.bmp").write_bytes(file + head + table + data)
    expected = [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]]
    np.testing.assert_array_equal(read_rgb(tmp_path / "image.bmp"), expected)


DEEP = {
    "png grey": image_files.png16(0, 1),
    "png rgb": image_files.png16(2, 3),
    "png grey alpha": image_files.png16(4, 2),
    "png rgba": image_files.png16(6, 4),
    "tiff rgb": image_files.tiff16(),
    "tiff grey": encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "TIFF"),
    "tiff grey lzw": encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16)), "TIFF", compression="tiff_lzw"),
    "tiff float": encoded(Image.fromarray(PIXELS[..., 0].astype(np.float32)), "TIFF"),
    "tiff 32": encoded(Image.fromarray(PIXELS[..., 0].astype(np.int32)), "TIFF"),
    **{f"{magic} {n}": image_files.ppm(magic, n) for magic in ("P2", "P3", "P5", "P6") for n in (256, 1023, 65535)},
    "sgi": image_files.sgi16(compressed=False),
    "sgi compressed": image_files.sgi16(compressed=True),
    "avif 10": image_files.avif(10),
    "avif 12": image_files.avif(12),
}


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits_per_channel_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(DEEP[name])
    with pytest.raises(DataError, match="more than 8 bits per channel") as caught:
        read_rgb(path)
    assert str(path) in str(caught.value)


def test_avif_of_8_bits_is_read(tmp_path: Path) -> None:
    for options in ({}, {"subsampling": "4:4:4"}, {"quality": 100}):
        (tmp_path / "image.avif").write_bytes(encoded(Image.fromarray(PIXELS), "AVIF", **options))
        assert read_rgb(tmp_path / "image.avif").shape == PIXELS.shape


def test_a_lab_image_has_another_colour_space_and_no_alpha_channel(tmp_path: Path) -> None:
    Image.fromarray(PIXELS, "LAB").save(tmp_path / "image.tif")
    with pytest.raises(DataError, match="has colour mode LAB"):
        read_rgb(tmp_path / "image.tif")
