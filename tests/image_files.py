"""Image files of all kinds that are read: encoded by Pillow, or by hand where Pillow cannot write them."""

import base64
import io
import struct
import zlib

import numpy as np
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)

# 8 x 8 pixels in 10 and 12 bits, encoded by libaom.
_AVIF = {
    10: b"eNpjYGBQSCupLEgsy0xjAAIQnZuZZpibmZjm62joCBR6nZtaksgAAYoZKTlFUDZDQWZyCQMa4CvILMkFsxiBWC4zJz8ZxHEB8Rkh"
    b"oozCQFoFiDUyM/PS4GqlgJxUJigvsczA0Dk/Jx9sV1ZmQVEBkPbOLEjOB9IimcUFqVD7OKBYoCCzIhMkwMzFxQWkeBLLDJ0bFRxA"
    b"QsLJ+TlFeck5FQxMQMjWABQSzyzIhfkJ6DAWRqZmFiBTJzclsUSIgYvDgmN/PhMT2wQjMUmnZJYDDCZAyQn2+8zl07z63/pH1QAA"
    b"C7M1rA==",
    12: b"eNpjYGCQSSupLEgsy0xjAAIQnZuZZpibmQjiv85NLUlkgADFjJScIiiboSAzuYQBDfAVZJbkglmMQCyXmZOfDOK4gPiMEFFGfiCt"
    b"AsQamZl5aXC1UkBOKhOUl1hmYOicn5MPtisrs6CoAEh7ZxYk5wNpkcziglSofRxQLFCQWZEJEmDm4eEBUjyJZYbOjQ4JICHh5Pyc"
    b"orzknAoGJiBkawAKiWcW5ML8BHQYCyNTMwuQqZObklgixMDFEcGxP9uhoXGRkZikUzLLAQYTBoYJ9nOURbVZ88/rfWlvAAAHFzZV",
}


def avif(bits: int) -> bytes:
    """Return an AVIF file of 10 or 12 bits per channel."""
    return zlib.decompress(base64.b64decode(_AVIF[bits]))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as Pillow encodes it."""
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def png16(colour: int, channels: int) -> bytes:
    """Return a PNG file of 16 bits per channel: colour type 0, 2, 4 or 6 with 1, 3, 2 or 4 channels."""
    height, width, _ = PIXELS.shape
    values = np.random.default_rng(1).integers(0, 65536, (height, width, channels), dtype=np.uint16)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def tiff16() -> bytes:
    """Return an uncompressed little-endian TIFF file of RGB with 16 bits per channel."""
    height, width, _ = PIXELS.shape
    data = (PIXELS.astype("<u2") * 257).tobytes()
    bits_at, data_at = 8 + 2 + 10 * 12 + 4, 8 + 2 + 10 * 12 + 4 + 6
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, bits_at), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, data_at), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(data)), (284, 3, 1, 1),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 10) + table + bytes(4) + struct.pack("<HHH", 16, 16, 16) + data


def sgi16(*, compressed: bool) -> bytes:
    """Return an SGI file of RGB with 16 bits per channel."""
    height, width, _ = PIXELS.shape
    head = struct.pack(">hBBHHHHll4x80sl404x", 474, compressed, 2, 3, width, height, 3, 0, 65535, b"", 0)
    rows = [PIXELS[y, :, channel].astype(">u2") * 257 for channel in range(3) for y in reversed(range(height))]
    if not compressed:
        return head + b"".join(row.astype(">u2").tobytes() for row in rows)
    coded = [struct.pack(">H", 0x80 | width) + row.astype(">u2").tobytes() + bytes(2) for row in rows]
    first = len(head) + 8 * len(rows)
    starts = [first + sum(map(len, coded[:index])) for index in range(len(rows))]
    lengths = map(len, coded)
    return head + struct.pack(f">{2 * len(rows)}I", *starts, *lengths) + b"".join(coded)


def ppm(magic: str, largest: int) -> bytes:
    """Return a PPM (P3, P6) or PGM (P2, P5) file with a largest sample value."""
    height, width, _ = PIXELS.shape
    values = samples(magic, largest)
    head = f"{magic}\n{width} {height}\n{largest}\n".encode()
    if magic in ("P2", "P3"):
        return head + " ".join(map(str, values.ravel())).encode() + b"\n"
    return head + values.astype(">u2" if largest > 255 else np.uint8).tobytes()


def samples(magic: str, largest: int) -> np.ndarray:
    """Return the sample values of `ppm`."""
    shape = PIXELS.shape if magic in ("P3", "P6") else PIXELS.shape[:2]
    return np.random.default_rng(2).integers(0, largest + 1, shape)


def readable() -> dict[str, list[bytes]]:
    """Return files of every format that is read, in several variants each."""
    rgb = Image.fromarray(PIXELS)
    grey, palette, bits = rgb.convert("L"), rgb.convert("P"), rgb.convert("1")
    return {
        "png": [encoded(one, "PNG") for one in (rgb, grey, palette, bits)],
        "jpeg": [encoded(rgb, "JPEG"), encoded(grey, "JPEG"), encoded(rgb, "JPEG", progressive=True)],
        "webp": [encoded(rgb, "WEBP"), encoded(rgb, "WEBP", lossless=True)],
        "bmp": [encoded(one, "BMP") for one in (rgb, grey, palette, bits)],
        "tiff": [
            *(encoded(rgb, "TIFF", compression=name) for name in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
            encoded(bits, "TIFF", compression="group4"),
        ],
        "ppm": [ppm(magic, largest) for magic in ("P2", "P3", "P5", "P6") for largest in (160, 255)],
        "avif": [encoded(rgb, "AVIF"), encoded(grey, "AVIF"), encoded(rgb, "AVIF", subsampling="4:4:4")],
        "other": [encoded(rgb, kind) for kind in ("GIF", "TGA", "PCX", "SGI", "DIB", "QOI", "MPO")],
    }
