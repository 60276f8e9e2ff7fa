"""Store pairs of LR and HR images in memory-mapped arrays and crop random patches from them.

Whole HR images are degraded once, as in the challenge, so that patches have any offset to the JPEG block grid. A patch
needs two slices of a memory map, which is faster than data-loading processes on a machine with few cores.
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
SMALLEST_LR_SIDE = 64  # images with a smaller side are not used
DETAIL_LIMIT = 12.0  # in grey levels, see `sampling_probabilities`


@dataclass(frozen=True, slots=True)
class Pair:
    """Position of one image in the arrays (offsets in bytes, sizes in LR pixels), and its amount of detail.

    ``detail`` is the sum of the mean absolute vertical and horizontal differences of adjacent grey values, in levels.
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
    probabilities: npt.NDArray[np.float64]

    def batch(self, seed: int, step: int, count: int, patch: int) -> tuple[Array, Array]:
        """Return LR patches of shape (count, patch, patch, 3) and the HR patches, determined by seed and step only."""
        # A generator per step makes an interrupted run draw the same patches after it is continued.
        rng = np.random.default_rng((seed, step))
        chosen = rng.choice(len(self.pairs), size=count, p=self.probabilities)
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
    """Open the pairs of the images in ``folder``; they are created on first use and stored in ``cache``.

    Parameters
    ----------
    folder
        Folder of HR images, searched recursively.
    scale
        Upscaling factor of the pairs.
    shrink
        Factors by which each image is downscaled; each factor adds one pair per image. Use 1 for lossless sources and 2
        or more for blurred JPEG images.
    cache
        Folder of the arrays, with one subfolder per combination of the other parameters.

    Raises
    ------
    DataError
        If the folder contains no image that is large enough.
    """
    files = _files(folder)
    # Names and sizes identify the images well enough; hashing their contents would be slow.
    key = json.dumps([[f.name, f.stat().st_size] for f in files] + [scale, list(shrink)])
    fingerprint = hashlib.sha256(key.encode()).hexdigest()[:16]
    home = cache / fingerprint
    if not (home / "pairs.json").exists():
        _build(files, scale, shrink, home)
    pairs = tuple(Pair(**item) for item in json.loads((home / "pairs.json").read_text()))
    lr, hr = (np.memmap(home / f"{kind}.u8", dtype=np.uint8, mode="r") for kind in ("lr", "hr"))
    return PatchSource(scale, fingerprint, pairs, lr, hr, sampling_probabilities(pairs))


def _files(folder: Path) -> list[Path]:
    folders = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
    files = [file for place in folders for file in list_images(place)]
    if not files:
        raise DataError("no training image", where=str(folder), hint="choose another folder with --hr")
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
        raise DataError("no training image is large enough", where=str(home))
    # The index is written last: its existence shows that the arrays are complete.
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


def sampling_probabilities(pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
    """Return the probability of each pair, proportional to its detail and to the square root of its area.

    Uniform regions such as skies contribute little to training. Detail is limited so that a few drawings with sharp
    edges do not dominate the photographs.
    """
    weights = np.array([(0.5 + min(pair.detail, DETAIL_LIMIT)) * np.sqrt(pair.height * pair.width) for pair in pairs])
    probabilities: npt.NDArray[np.float64] = weights / weights.sum()
    return probabilities
