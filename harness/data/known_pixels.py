"""Hashes of the pixels of classic test sets, in the uncropped and losslessly stored form used for published results."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

KNOWN_PIXELS: dict[str, dict[str, str]] = {
    "Set5": {
        "ae793a5a365b92ac15d44b2abe239c991713ccd1a2a682fdc602dbb13d2f6874": "baby",
        "3e70746eea4bc9318dcfd9124da8a62020e783b45ad70e25f550a7acc65d0c42": "bird",
        "fc21d3138b4ac37e1e2ce9505726edd45dc9e1363d7f077da599d70442baafbd": "butterfly",
        "0241d09e606b14bcba61aa990b360334c73e9d35b22f0a62cf486ea2094b230d": "head",
        "c4327fda42649bac0ff73c88fe5aaf3ae835354590995c4550469ad5d5cfe41d": "woman",
    },
    "Set14": {
        "d9893f0fd7841773595836b2c88388c32bcb64b955d9002daaae5c79f16b43c8": "baboon",
        "ad60bfa9481060e039aee5cd1736ebd5bf3ed5daa1ee9ddf7b9079427fadc7f2": "barbara",
        "f16a506286fda77eaa76a7afdca9e6e82aff56e55e219731295be2f88fe9cd17": "bridge",
        "548e5e42a8f865ca45e819201f00ababf393708f1b3248d14bb6107a7ff3478d": "coastguard",
        "92498fea556d3c46005c1f0f0265bbc631ed36ed3434071898c9b42d7bfad554": "comic",
        "4e7d455043f7815e0d46eb4508160ce9995a561065ccbc219df66d1d41a685bc": "face",
        "94c3f3dfd816518081cdb9af1903fa649e29eb36ad799bccd1626020e12ca26c": "flowers",
        "1c2ec76a36abdd454f0603cb3c6ccaaf7146f1eea558b379f14e66817825c11f": "foreman",
        "96e34308ef3ccb1c252d1b903550ef80e372370be17bced6ac9bd0437008ed84": "lenna",
        "5269b00c34951b6ebeea42b27ed2a09ab24b6eded8eb3361f3fc2a13fa5fcf7d": "man",
        "4a7b9dc3aa9f3ec169df9eeab5b44c1b4af861b522a140a7d3ba7b87e9860489": "monarch",
        "811986891addd496d9e7528d58536cfa9cab860b9844fdeef396929ac3101745": "pepper",
        "962e2ce53f18bbafc6c6f510d8699b5dd2e1fc25c65e10ca6765ccc0381a2d7f": "ppt3",
        "ac7238fe387073fb1dc0a53f255b08b0d30b4f3c9d3eeec582cf2dabf7306ab6": "zebra",
    },
}
"""For each data set, the usual names of its images by `pixel_digest`. Files may have other names and formats."""


def pixel_digest(image: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of shape and pixels of an image (H x W x 3, uint8), independent of the file format."""
    # With the shape, since images of different shapes can have the same bytes.
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
