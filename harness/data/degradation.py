"""Degradations: how low-resolution (LR) images are generated from high-resolution (HR) ones.

Results depend on the encoder library: at equal quality, libjpeg-turbo and libjpeg 9 lead to RGB PSNRs of the upscaled
images that differ by up to 0.1 dB. Pillow's wheels contain libjpeg-turbo.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import UsageError
from harness.suggestions import choice

Resizer = Literal["pillow-bicubic", "pillow-lanczos", "matlab-bicubic"]
Codec = Literal["none", "jpeg", "avif"]
Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Degradation:
    """A degradation: downscaling followed by lossy compression.

    Attributes
    ----------
    name
        Name on the command line, for example ``ntire23``.
    description
        One-line description for reports.
    resize
        Downscaling filter; all are antialiased.
    codec
        Compression of the LR image.
    quality
        JPEG quality (0 to 100) or AVIF quantizer (0 best to 63 worst); unused without a codec.
    subsampling
        Chroma subsampling of the codec.
    """

    name: str
    description: str
    resize: Resizer = "pillow-bicubic"
    codec: Codec = "none"
    quality: int = 0
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"

    @property
    def parameters(self) -> dict[str, str | int]:
        """Everything that determines the pixels, that is, all attributes except name and description."""
        return {key: value for key, value in asdict(self).items() if key not in ("name", "description")}


def jpeg(
    quality: int, subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0", name: str | None = None
) -> Degradation:
    """Return the degradation Pillow bicubic, then Pillow's JPEG with a quality (1 to 100) and subsampling."""
    return Degradation(
        name or f"jpeg{quality}-{subsampling.replace(':', '')}",
        f"Pillow bicubic, then JPEG quality {quality} with {subsampling} chroma",
        codec="jpeg",
        quality=quality,
        subsampling=subsampling,
    )


def avif(quantiser: int) -> Degradation:
    """Return the degradation Pillow Lanczos, then AVIF at a quantizer (0 to 63), which approximates AIS 2024."""
    return Degradation(
        f"avif{quantiser}",
        f"Pillow Lanczos, then AVIF at quantiser {quantiser} of 63 with 4:2:0 chroma (approximates AIS 2024)",
        resize="pillow-lanczos",
        codec="avif",
        quality=quantiser,
    )


GIVEN_LR = "LR images as given in "
"""Begins the description of LR images that a data set brings along; their folder follows."""

DEGRADATIONS = {
    degradation.name: degradation
    for degradation in (
        jpeg(90, name="ntire23"),
        Degradation("bicubic", "Pillow bicubic, without compression"),
        Degradation("matlab", "MATLAB-compatible antialiased bicubic imresize", resize="matlab-bicubic"),
        *(avif(quantiser) for quantiser in (31, 39, 47, 55, 63)),
    )
}
# Q stands for any quality from 1 to 100.
_JPEG_FAMILY = ("jpegQ", "jpegQ-444", "jpegQ-422", "jpegQ-420")
_JPEG_NAME = re.compile(r"jpeg(100|[1-9][0-9]?)(?:-(444|422|420))?")


def get_degradation(name: str) -> Degradation:
    """Return a degradation by name.

    Parameters
    ----------
    name
        ``ntire23`` (JPEG quality 90), ``bicubic``, ``matlab``, ``avif31``, ``avif39``, ``avif47``, ``avif55``,
        ``avif63``, or ``jpegQ``, ``jpegQ-444`` or ``jpegQ-422`` for any JPEG quality Q, with 4:2:0, 4:4:4 or
        4:2:2 chroma.

    Raises
    ------
    UsageError
        The degradation does not exist.
    """
    if name in DEGRADATIONS:
        return DEGRADATIONS[name]
    # A family of degradations, with too many members for the table.
    found = _JPEG_NAME.fullmatch(name)
    if not found:
        raise UsageError(f"no degradation is called {name!r}", hint=choice(name, [*DEGRADATIONS, *_JPEG_FAMILY]))
    subsampling: dict[str | None, Literal["4:4:4", "4:2:2", "4:2:0"]] = {"444": "4:4:4", "422": "4:2:2"}
    return jpeg(int(found[1]), subsampling.get(found[2], "4:2:0"))


def degrade(hr: Array, scale: int, degradation: Degradation) -> Array:
    """Generate the LR image of an HR image.

    Parameters
    ----------
    hr
        HR image, H x W x 3, uint8; both sides must be multiples of `scale`.
    scale
        Downscaling factor; 1 for compression only.
    degradation
        Degradation to apply.

    Returns
    -------
    numpy.ndarray
        LR image after compression and decoding, H/scale x W/scale x 3, uint8.

    Raises
    ------
    UsageError
        The sides of `hr` are not multiples of `scale`.
    """
    lr = shrink(hr, scale, degradation)
    return lr if degradation.codec == "none" else decode(encode(lr, degradation))


def shrink(hr: Array, scale: int, degradation: Degradation) -> Array:
    """Return the downscaled image before compression; see `degrade` for parameters and errors."""
    height, width = hr.shape[:2]
    if height % scale or width % scale:
        raise UsageError(
            f"the sides of a {width}x{height} image are not multiples of {scale}", hint="crop it with centre_crop first"
        )
    return _RESIZERS[degradation.resize](hr, height // scale, width // scale)


def _pillow(filter_: Image.Resampling) -> Callable[[Array, int, int], Array]:
    def resize(hr: Array, height: int, width: int) -> Array:
        return np.array(Image.fromarray(hr).resize((width, height), filter_))

    return resize


def _matlab(hr: Array, height: int, width: int) -> Array:
    from harness.data.imresize import imresize

    return imresize(hr, height, width)


_RESIZERS: dict[Resizer, Callable[[Array, int, int], Array]] = {
    "pillow-bicubic": _pillow(Image.Resampling.BICUBIC),
    "pillow-lanczos": _pillow(Image.Resampling.LANCZOS),
    "matlab-bicubic": _matlab,
}


def encode(lr: Array, degradation: Degradation) -> bytes:
    """Encode an LR image with the codec of the degradation: JPEG or AVIF, or PNG if it has none."""
    stream = io.BytesIO()
    image = Image.fromarray(lr)
    if degradation.codec == "jpeg":
        image.save(stream, format="JPEG", quality=degradation.quality, subsampling=degradation.subsampling)
    elif degradation.codec == "avif":
        _save_avif(image, stream, degradation)
    else:
        image.save(stream, format="PNG", compress_level=1)  # lossless at any level; 1 is the fastest
    return stream.getvalue()


def _save_avif(image: Image.Image, stream: io.BytesIO, degradation: Degradation) -> None:
    """Encode with libaom at a fixed quantizer.

    libavif converts a quality (0 to 100) to the quantizer ``(100 - quality) * 63 / 100``, rounded. The quality below is
    the inverse. ``max_threads=1`` makes the output independent of the machine.
    """
    try:
        image.save(
            stream,
            format="AVIF",
            quality=round(100 - degradation.quality * 100 / 63),
            subsampling=degradation.subsampling,
            speed=5,
            codec="aom",
            max_threads=1,
        )
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(
            f"this Pillow cannot write AVIF with libaom ({error})", hint="install Pillow 11.3 or newer from its wheel"
        ) from error


def decode(content: bytes) -> Array:
    """Return the pixels of an encoded LR image, H x W x 3, uint8."""
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))


def file_suffix(degradation: Degradation) -> str:
    """Return the file name suffix for the output of `encode`."""
    return {"jpeg": ".jpg", "avif": ".avif", "none": ".png"}[degradation.codec]
