"""PNG files are decoded to the same pixels with and without kornia-rs."""

import io
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from harness.data.fast_png import decode_rgb
from harness.data.images import read_image
from harness.errors import DataError


def random_image(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_pillow(path: Path) -> np.ndarray | None:
    try:
        with Image.open(path) as opened:
            return np.array(opened)
    except Exception:  # noqa: BLE001  # of any kind
        return None


def pixels_or_error(path: Path) -> np.ndarray | str:
    """Return what the harness reads, or its error."""
    try:
        return read_image(path).pixels
    except DataError as error:
        return str(error)


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_pixels_are_those_of_the_image(
    tmp_path_factory: pytest.TempPathFactory, seed: int, height: int, width: int, level: int
) -> None:
    path, image = tmp_path_factory.mktemp("png") / "one.png", random_image(seed, height, width)
    Image.fromarray(image).save(path, compress_level=level)
    decoded = decode_rgb(path, height, width)
    assert decoded is not None
    np.testing.assert_array_equal(decoded, image)
    assert decoded.flags.writeable
    assert decoded.flags.c_contiguous


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def interlaced_png(image: np.ndarray) -> bytes:
    """Write the seven passes of Adam7, each row unfiltered (PNG specification, section 8.2)."""
    height, width, _ = image.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for top, left, down, right in passes:
        part = image[top::down, left::right]
        rows += b"".join(b"\0" + row.tobytes() for row in part if row.size)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def with_metadata(image: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    info, stream = PngImagePlugin.PngInfo(), io.BytesIO()
    for kind, data in chunks:
        info.add(kind, data)
    Image.fromarray(image).save(stream, format="PNG", pnginfo=info)
    return stream.getvalue()


def _odd_files() -> Iterator[tuple[str, bytes]]:
    image = random_image(1, 13, 9)
    yield "interlaced", interlaced_png(image)
    yield "gamma of 1.0", with_metadata(image, (b"gAMA", struct.pack(">I", 100_000)))
    yield "gamma of 2.2", with_metadata(image, (b"gAMA", struct.pack(">I", 45_455)))
    yield "fewer significant bits", with_metadata(image, (b"sBIT", bytes([5, 6, 5])))
    yield "primaries", with_metadata(image, (b"cHRM", struct.pack(">8I", *range(1000, 9000, 1000))))
    yield "background", with_metadata(image, (b"bKGD", struct.pack(">3H", 1, 2, 3)))
    profile = b"name\0\0" + zlib.compress(b"no profile")
    yield "damaged profile", with_metadata(image, (b"iCCP", profile))


ODD_FILES = dict(_odd_files())


@pytest.mark.parametrize("what", ODD_FILES)
def test_odd_files_have_the_pixels_that_pillow_reads(tmp_path: Path, what: str) -> None:
    path = tmp_path / f"{what}.png"
    path.write_bytes(ODD_FILES[what])
    np.testing.assert_array_equal(read_image(path).pixels, random_image(1, 13, 9))
    np.testing.assert_array_equal(by_pillow(path), random_image(1, 13, 9))


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_file_is_read_as_without_the_package(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("png") / "one.png"
    whole = bytearray(with_metadata(random_image(2, 11, 17)))
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(8, len(whole) - 1)) :]
    else:
        whole[data.draw(st.integers(8, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    with patch.dict(sys.modules, {"kornia_rs.io": None}):
        expected = pixels_or_error(path)
    found = pixels_or_error(path)
    if isinstance(expected, str):
        assert found == expected
    else:
        np.testing.assert_array_equal(found, expected)


def test_other_kinds_are_left_to_pillow(tmp_path: Path) -> None:
    path, image = tmp_path / "one.png", random_image(3, 6, 7)
    for mode in ("L", "P", "1", "RGBA"):
        Image.fromarray(image).convert(mode).save(path)
        assert decode_rgb(path, 6, 7) is None
    assert decode_rgb(tmp_path / "none.png", 6, 7) is None
    Image.fromarray(image).save(path)
    assert decode_rgb(path, 7, 6) is None


def test_without_the_package_pillow_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, image = tmp_path / "one.png", random_image(4, 6, 7)
    Image.fromarray(image).save(path)
    monkeypatch.setitem(sys.modules, "kornia_rs.io", None)
    assert decode_rgb(path, 6, 7) is None
    np.testing.assert_array_equal(read_image(path).pixels, image)


@pytest.mark.parametrize("error", [ValueError, MemoryError, type("PanicException", (BaseException,), {})])
def test_whatever_the_package_raises_pillow_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(path: str) -> None:
        raise error(path)

    path, image = tmp_path / "one.png", random_image(5, 6, 7)
    Image.fromarray(image).save(path)
    monkeypatch.setattr("kornia_rs.io.read_image", fail)
    np.testing.assert_array_equal(read_image(path).pixels, image)


def test_an_interrupt_while_decoding_is_none_of_its_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kornia_rs.io.read_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode_rgb(tmp_path / "one.png", 6, 7)
