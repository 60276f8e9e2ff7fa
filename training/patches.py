"""Pairs of LR and HR images in memory-mapped arrays, and random patches cut out of them.

The LR image is made once from the whole HR image, by the challenge's degradation, so that a patch sees the JPEG grid
at any offset. A patch costs two slices of a memory map: cheaper than any loader process on a small machine.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from harness.data.crop import centre_crop
from harness.data.degradation import degrade, get_degradation
from harness.data.images import list_images, read_rgb
from harness.errors import DataError

Array = npt.NDArray[np.uint8]
SMALLEST_LR_SIDE = 64
DETAIL_LIMIT = 12.0


@dataclass(frozen=True, slots=True)
class Pair:
    """One image in the arrays: offsets in bytes, sizes in LR pixels, and detail.

    ``detail`` is the mean absolute difference of neighbouring grey values, in levels, down and across together.
    """

    name: str
    lr_offset: int
    hr_offset: int
    height: int
    width: int
    detail: float


@dataclass(frozen=True, slots=True)
class PatchSource:
    """All pairs of a training set at one scale."""

    scale: int
    fingerprint: str
    pairs: tuple[Pair, ...]
    lr: Array
    hr: Array
    chances: npt.NDArray[np.float64]

    def batch(self, seed: int, step: int, count: int, patch: int) -> tuple[Array, Array]:
        """Return LR (``count`` x ``patch`` x ``patch`` x 3) and HR patches; they depend on seed and step alone."""
        rng = np.random.default_rng((seed, step))
        chosen = rng.choice(len(self.pairs), size=count, p=self.chances)
        cut = [self._cut(self.pairs[index], patch, rng) for index in chosen]
        return np.stack([lr for lr, _ in cut]), np.stack([hr for _, hr in cut])

    def _cut(self, pair: Pair, patch: int, rng: np.random.Generator) -> tuple[Array, Array]:
        top = int(rng.integers(pair.height - patch + 1))
        left = int(rng.integers(pair.width - patch + 1))
        symmetry = int(rng.integers(8))
        lr = _window(self.lr, pair.lr_offset, pair.width, top, left, patch)
        s = self.scale
        hr = _window(self.hr, pair.hr_offset, pair.width * s, top * s, left * s, patch * s)
        return _turn(lr, symmetry), _turn(hr, symmetry)


def _window(flat: Array, offset: int, width: int, top: int, left: int, side: int) -> Array:
    row = width * 3
    start = offset + top * row
    rows = flat[start : start + side * row].reshape(side, width, 3)
    return rows[:, left : left + side]


def _turn(image: Array, symmetry: int) -> Array:
    """Apply one of the eight symmetries of the square."""
    if symmetry & 1:
        image = image[::-1]
    if symmetry & 2:
        image = image[:, ::-1]
    return image.transpose(1, 0, 2) if symmetry & 4 else image


def open_patches(folder: Path, scale: int, shrink: Sequence[float], cache: Path) -> PatchSource:
    """Open the pairs of the images in ``folder``, made on first use and kept in ``cache``.

    Parameters
    ----------
    folder
        HR images, read recursively.
    scale
        Upscaling factor of the pairs.
    shrink
        Every image appears once per factor, downscaled by it: 1 for lossless sources, 2 and more where the source
        is a soft JPEG, several for variety of detail.
    cache
        Where the arrays are kept, one folder per combination of the above.

    Raises
    ------
    DataError
        If the folder holds no image that is large enough.
    """
    files = _files(folder)
    key = json.dumps([[f.name, f.stat().st_size] for f in files] + [scale, list(shrink)])
    fingerprint = hashlib.sha256(key.encode()).hexdigest()[:16]
    home = cache / fingerprint
    if not (home / "pairs.json").exists():
        _build(files, scale, shrink, home)
    pairs = tuple(Pair(**item) for item in json.loads((home / "pairs.json").read_text()))
    lr, hr = (np.memmap(home / f"{kind}.u8", dtype=np.uint8, mode="r") for kind in ("lr", "hr"))
    return PatchSource(scale, fingerprint, pairs, lr, hr, odds(pairs))


def _files(folder: Path) -> list[Path]:
    folders = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
    files = [file for place in folders for file in list_images(place)]
    if not files:
        raise DataError("no image to learn from", where=str(folder), hint="name another folder with --hr")
    return files


def _build(files: Sequence[Path], scale: int, shrink: Sequence[float], home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    pairs: list[Pair] = []
    with (home / "lr.u8").open("wb") as lr_out, (home / "hr.u8").open("wb") as hr_out:
        for file in files:
            image = read_rgb(file)
            for factor in shrink:
                hr = centre_crop(_shrunk(image, factor), scale)
                lr = degrade(hr, scale, get_degradation("ntire23"))
                if min(lr.shape[:2]) < SMALLEST_LR_SIDE:
                    continue
                height, width = lr.shape[:2]
                name = f"{file.stem}/{factor:g}"
                pairs.append(Pair(name, lr_out.tell(), hr_out.tell(), height, width, _detail(hr)))
                lr_out.write(lr.tobytes())
                hr_out.write(hr.tobytes())
    if not pairs:
        raise DataError("no image is large enough to learn from", where=str(home))
    text = json.dumps([{name: getattr(pair, name) for name in Pair.__slots__} for pair in pairs], indent=0)
    (home / "pairs.json").write_text(text)


def _shrunk(image: Array, factor: float) -> Array:
    if factor == 1:
        return image
    size = (round(image.shape[1] / factor), round(image.shape[0] / factor))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _detail(hr: Array) -> float:
    grey = hr.mean(axis=2)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def odds(pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
    """Return how often each pair is drawn: by detail, since skies teach little, and by the root of its area.

    Detail counts up to a limit, lest a few drawings of hard edges crowd out the photographs.
    """
    weights = np.array([(0.5 + min(pair.detail, DETAIL_LIMIT)) * np.sqrt(pair.height * pair.width) for pair in pairs])
    chances: npt.NDArray[np.float64] = weights / weights.sum()
    return chances
