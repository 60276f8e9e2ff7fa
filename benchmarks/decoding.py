"""Measure how long PNG files of 4K size take to decode, by Pillow alone and with kornia-rs.

Run ``python -m benchmarks.decoding`` on an otherwise idle machine. Both decode each file in turn, and the medians are
printed with their ratio. Pixels are compared. The files are mosaics of the embedded images, compressed at the level
that is common in data sets. ``--threads`` decodes as many files at the same time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.overhead import write_images
from harness.data.images import read_rgb

_LEVEL = 6


def seconds(read: Callable[[Path], object], paths: list[Path]) -> float:
    """Return the wall time in which files are read, each by a thread of its own."""
    with ThreadPoolExecutor(len(paths)) as pool:
        begin = time.perf_counter()
        list(pool.map(read, paths))
        return time.perf_counter() - begin


def by_pillow(path: Path) -> np.ndarray:
    """Read a file as without the package."""
    with Image.open(path) as opened:
        return np.array(opened)


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--trials", type=int, default=7)
    options = parser.parse_args()
    try:
        import kornia_rs  # noqa: F401
    except ImportError:
        sys.exit("kornia-rs is not installed: pip install 'sr-harness[fast-png]'")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        write_images(folder, options.threads)
        paths = sorted(folder.iterdir())
        for path in paths:
            Image.fromarray(by_pillow(path)).save(path, compress_level=_LEVEL)
            np.testing.assert_array_equal(read_rgb(path), by_pillow(path))
        found = [(seconds(by_pillow, paths), seconds(read_rgb, paths)) for _ in range(options.trials)]
    pillow_s, harness_s = (median(column) for column in zip(*found, strict=True))
    ratio = median(harness / pillow for pillow, harness in found)
    print(
        f"{options.threads} file(s) of 4K: Pillow {1e3 * pillow_s:.0f} ms, with kornia-rs {1e3 * harness_s:.0f} ms, "
        f"ratio {ratio:.2f}"
    )


if __name__ == "__main__":
    main()
