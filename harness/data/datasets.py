"""Data sets: pairs of a low-resolution and a high-resolution image, in a fixed order."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from harness.data.cache import cache_root, lr_cache_key
from harness.data.crop import centre_crop, centre_crop_to
from harness.data.degradation import Degradation, degrade
from harness.data.images import read_rgb, write_png
from harness.data.spool import Spool
from harness.errors import DataError, ResultsError

Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a data set keeps what it makes.

    Attributes
    ----------
    cache_dir
        Folder of made LR images, as PNG, and of decoded pairs; the user's cache folder by default.
    memory
        Bytes of decoded images that may be kept in memory: by default sixteen 4K pairs at scale 2.
    spool
        Bytes of decoded images that may be kept on disk beside them: by default 260 such pairs.
    """

    cache_dir: Path | None = None
    memory: int = 512 * 2**20
    spool: int = 8 * 2**30

    def folder(self) -> Path:
        """Return the folder."""
        return self.cache_dir or cache_root()


_STORAGE = Storage()


class Dataset:
    """HR images with the LR images made from them, or given beside them.

    A run decodes each image once, however many networks it measures: decoded pairs are kept in memory up to a bound,
    and beyond it in a nameless file on disk up to another. Callers share the arrays and must not change them.

    Parameters
    ----------
    name
        What the leaderboard shows.
    hr_paths
        The HR images in order.
    scale
        Upscaling factor.
    degradation
        How LR is made; describes what is given where `lr_paths` are.
    lr_paths
        LR images in the same order, or None to make them.
    storage
        Where made LR images and decoded pairs are kept, and how many.
    registered_as
        The name under which its folder is registered: what is known of a published set holds for it. A folder's own
        name is no evidence.

    Attributes
    ----------
    name, scale, degradation, registered_as
        As given.
    names
        The images' names in order, without extension.
    """

    def __init__(
        self,
        name: str,
        hr_paths: list[Path],
        scale: int,
        degradation: Degradation,
        *,
        lr_paths: list[Path] | None = None,
        storage: Storage = _STORAGE,
        registered_as: str | None = None,
    ) -> None:
        self.name = name
        self.scale = scale
        self.degradation = degradation
        self.registered_as = registered_as
        self.names = [path.stem for path in hr_paths]
        self._hr_paths = hr_paths
        self._lr_paths = lr_paths
        self._storage = storage
        self._spool = Spool(storage.folder() / "decoded", storage.spool)
        self._kept: dict[int, tuple[Array, Array]] = {}
        self._in_memory = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, file contents, scale and degradation, in hexadecimal."""
        whole = hashlib.sha256(repr((self.scale, sorted(self.degradation.parameters.items()))).encode())
        for name, path in zip(self.names, self._hr_paths, strict=True):
            whole.update(f"{name} {_sha256(path)}\n".encode())
        for path in self._lr_paths or []:
            whole.update(f"lr {_sha256(path)}\n".encode())
        return whole.hexdigest()

    def pair(self, index: int) -> tuple[Array, Array]:
        """Return one pair.

        Parameters
        ----------
        index
            Place in `names`.

        Returns
        -------
        lr, hr
            h x w x 3 and (h * scale) x (w * scale) x 3, uint8, RGB. HR is centre-cropped to a multiple of the scale.

        Raises
        ------
        DataError
            An image cannot be read, or a given LR image does not fit its HR image.
        """
        with self._lock:
            if index in self._kept:
                return self._kept[index]
        pair = self._read(index)
        with self._lock:
            self._keep(index, pair)
        return pair

    def _read(self, index: int) -> tuple[Array, Array]:
        hr = read_rgb(self._hr_paths[index])
        if self._lr_paths is not None:
            lr = read_rgb(self._lr_paths[index])
            return lr, _crop_to_fit(hr, lr, self.scale, self._hr_paths[index])
        hr = centre_crop(hr, self.scale)
        if hr.size == 0:
            raise DataError(f"is smaller than the scale {self.scale}", where=str(self._hr_paths[index]))
        return self._made_lr(index, hr), hr

    def _made_lr(self, index: int, hr: Array) -> Array:
        """Return the LR image from the cache, made now where it is missing or damaged."""
        key = lr_cache_key(_sha256(self._hr_paths[index]), self.scale, self.degradation)
        path = self._storage.folder() / "lr" / f"{key}.png"
        try:
            return read_rgb(path)
        except DataError:
            lr = degrade(hr, self.scale, self.degradation)
        with suppress(ResultsError):  # a read-only or full disk costs time at the next run, nothing else
            write_png(path, lr)
        return lr

    def _keep(self, index: int, pair: tuple[Array, Array]) -> None:
        """Keep a pair in memory or on disk, if there is room: images are visited in turn, so none is worth more."""
        if index in self._kept:
            return
        size = sum(image.nbytes for image in pair)
        if self._in_memory + size <= self._storage.memory:
            self._in_memory += size
            self._kept[index] = pair
            return
        spooled = self._spool.keep(pair)
        if spooled is not None:
            self._kept[index] = (spooled[0], spooled[1])


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=str(path)) from error


def _crop_to_fit(hr: Array, lr: Array, scale: int, path: Path) -> Array:
    height, width = lr.shape[0] * scale, lr.shape[1] * scale
    rest = (hr.shape[0] - height, hr.shape[1] - width)
    if not all(0 <= pixels < scale for pixels in rest):
        raise DataError(
            f"HR is {hr.shape[1]}x{hr.shape[0]}, but LR {lr.shape[1]}x{lr.shape[0]} times {scale} is {width}x{height}",
            where=str(path),
            hint="give the LR images of this scale",
        )
    return centre_crop_to(hr, height, width)
