"""Find HR and LR images in the folder layouts that published data sets have.

Folders are recognized by their names. Where names are ambiguous, an error is raised, because LR images that are
overlooked would be replaced by generated ones, and all figures would be different.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from harness.data.images import distinct_images, image_name, image_size, list_images
from harness.data.likeness import smaller_copy
from harness.data.pairing import pair, pairs_of, scale_in_ending, split_roles
from harness.errors import DataError

_HR_FOLDERS = ("HR", "GT", "hr", "gt")
# GTmod12 is BasicSR's name for ground truth that was cropped to multiples of 12.
_HR_NAME = re.compile(r"(?:.*[_\-. ])?(?:HR|GT)(?:mod\d+)?|original|ground[_\- ]?truth", re.IGNORECASE)
# An optional prefix, LR or LQ, an optional kind of degradation, and an optional scale: DIV2K_valid_LR_unknown.
_LR_NAME = re.compile(
    r"(?:.*[_\-. ])?(?:LR|LQ|low[_\- ]?res(?:olution)?)"
    r"(?:(?:bic|BI|BD|DN|blur|unknown|mild|difficult|wild|jpe?g|avif)\w*)?(?:[_\-. ].*|x?\d.*)?",
    re.IGNORECASE,
)
# x2, 2x, or a number directly after LR or LQ. Sizes such as 1920x1080 do not match.
_SCALE_IN_NAME = re.compile(r"(?:x(\d{1,2})|(?<!\d)(\d{1,2})x|(?:LR|LQ)[_\-]?(\d{1,2}))(?![a-z0-9])", re.IGNORECASE)
_SCALE_NAME = re.compile(r"x\d{1,2}|\d{1,2}x", re.IGNORECASE)
# Inside a folder of LR images, a bare number is a scale, too.
_INNER_SCALE_NAME = re.compile(r"x?\d{1,2}|\d{1,2}x", re.IGNORECASE)
# Without a prefix: the name says nothing about the data set.
_PLAIN_HR_NAME = re.compile(r"(?:HR|GT)(?:mod\d+)?", re.IGNORECASE)
_DEPTH = 3
"""Levels below a data set's folder at which folders are looked at for LR images."""
# Scales of published data sets, to recognize LR images of another scale than the requested one.
_SCALES = (2, 3, 4, 8)
_OWN_HINT = "give the folder of the HR images itself to have LR images made from them"


@dataclass(frozen=True, slots=True)
class Layout:
    """The images of a data set.

    Attributes
    ----------
    hr_paths
        HR images, sorted by name.
    lr_paths
        The LR image of each, or None if the folder holds none.
    lr_place
        Where the LR images are, relative to the data set's folder; empty if there are none.
    """

    hr_paths: list[Path]
    lr_paths: list[Path] | None = None
    lr_place: str = ""


def find_layout(folder: Path, scale: int) -> Layout:
    """Find the HR images of a data set and its LR images of a scale.

    Parameters
    ----------
    folder
        Folder of the data set. HR images are in it, or in a subfolder such as ``HR``, ``GT``, ``GTmod12`` or
        ``DIV2K_valid_HR``. LR images are in a subfolder such as ``LR``, ``LR_x2``, ``LRbicx2``, ``X2``,
        ``LR_bicubic/X2`` or ``DIV2K_valid_LR_unknown/X2``, or beside the HR images with another ending of the name.
    scale
        The scale of the LR images.

    Raises
    ------
    DataError
        There are no HR images; a folder looks as if it held LR images, but they do not belong to the HR images, are
        of another scale or size, or there are several such folders.
    """
    folder = _of_scale(folder, scale)
    own = hr_folder(folder)
    hr_paths, beside = _separated(own)
    lr_folder = _lr_folder(folder, own, scale)
    # LR images are then generated, unless some seem to be there under a name that is not recognized.
    if lr_folder is None and not beside:
        _refuse_unknown_lr(folder, own, hr_paths, scale)
        return Layout(hr_paths)
    place = "" if lr_folder is None else lr_folder.relative_to(folder).as_posix()
    candidates = beside if lr_folder is None else _images_of(lr_folder)
    where = str(lr_folder or own)
    if lr_folder is not None and beside:
        raise DataError(f"holds LR images, as does {lr_folder}", where=str(own), hint="remove one of the two")
    lr_paths = pair(hr_paths, candidates, scale, where)
    _check_sizes(hr_paths, lr_paths, scale)
    return Layout(hr_paths, lr_paths, place or "the folder of the HR images")


def hr_folder(folder: Path) -> Path:
    """Return the subfolder of HR images, or `folder` itself if it has none.

    Raises
    ------
    DataError
        Several subfolders have names of folders of HR images.
    """
    # The plain names have precedence over others, such as DIV2K_valid_HR.
    for name in _HR_FOLDERS:
        if (folder / name).is_dir():
            return folder / name
    found = [path for path in _subfolders(folder) if _HR_NAME.fullmatch(path.name)]
    if len(found) > 1:
        raise DataError(
            f"has several folders of HR images: {', '.join(path.name for path in found)}",
            where=str(folder),
            hint="make a folder with links to the HR and LR folders that belong together, and give that",
        )
    return found[0] if found else folder


def hr_images(folder: Path) -> list[Path]:
    """Return the HR images of a data set, sorted by name, without LR images that are in the same folder.

    Raises
    ------
    DataError
        There are none, or two have the same name.
    """
    return _separated(hr_folder(folder))[0]


def is_hr_name(name: str) -> bool:
    """Return whether this is the plain name of a folder of HR images, which says nothing about the data set."""
    return _PLAIN_HR_NAME.fullmatch(name) is not None


def pairing_faults(folder: Path) -> list[str]:
    """Return why a run refuses the data set, for each scale of which it has LR images; empty if none does."""
    faults = []
    scales = [scale for scale in range(2, 17) if _has_lr(folder, scale)]
    # Without LR images, those that are not recognized are found with any scale.
    for scale in scales or [_SCALES[0]]:
        try:
            find_layout(folder, scale)
        except DataError as error:
            faults.append(str(error))
    return faults


def _has_lr(folder: Path, scale: int) -> bool:
    """Return whether a data set has LR images of a scale, by the name of their folder or by the size of one."""
    folder = _of_scale(folder, scale)
    try:
        own = hr_folder(folder)
        known = [(path, _scale_of(path, scale)) for path in _lr_folders(folder, own)]
        if any(of == "this" for _, of in known):
            return True
        hr_paths, beside = _separated(own)
        unknown = [image for path, of in known if of == "unknown" for image in list_images(path)]
        first = next(pairs_of(hr_paths, [*beside, *unknown], scale), None)
        return first is not None and _fits(image_size(first[0]), image_size(first[1]), scale)
    except DataError:  # reported for any scale
        return False


def _of_scale(folder: Path, scale: int) -> Path:
    """Return the subfolder ``image_SRF_2`` for scale 2 if there is one, and else `folder`."""
    inner = folder / f"image_SRF_{scale}"
    return inner if inner.is_dir() else folder


def _separated(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the HR images of a folder, at least one, and the LR images beside them."""
    hr, lr = split_roles(distinct_images(folder))
    # Checked by the size too, because ``a`` and ``ax2`` may be two HR images.
    small = [path for path in hr if _is_smaller_variant(path, hr)]
    return [path for path in hr if path not in small], [*lr, *small]


def _is_smaller_variant(path: Path, others: Sequence[Path]) -> bool:
    """Return whether an image is called ``ax2`` where there is an image ``a`` of twice its size."""
    found = scale_in_ending(path)
    if found is None:
        return False
    whole = [other for other in others if image_name(other).casefold() == found[0]]
    return any(_fits(image_size(other), image_size(path), found[1]) for other in whole)


def _lr_folder(folder: Path, own: Path, scale: int) -> Path | None:
    """Return the only folder of LR images for a scale; None if nothing looks like a folder of LR images."""
    known = [(path, _scale_of(path, scale)) for path in _lr_folders(folder, own)]
    # A folder that names the scale has precedence over one that names none.
    for kind in ("this", "unknown"):
        chosen = [path for path, of in known if of == kind]
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            names = ", ".join(path.relative_to(folder).as_posix() for path in chosen)
            raise DataError(
                f"has several folders of LR images for scale {scale}: {names}",
                where=str(folder),
                hint=f"move all but one elsewhere, or {_OWN_HINT}",
            )
    if known:
        names = ", ".join(path.relative_to(folder).as_posix() for path, _ in known)
        raise DataError(
            f"has LR images of other scales than {scale} only: {names}",
            where=str(folder),
            hint=f"add a folder LR_x{scale}, or {_OWN_HINT}",
        )
    return None


def _lr_folders(folder: Path, own: Path) -> list[Path]:
    """Return the folders that are named like folders of LR images, down to ``LR_bicubic/X2``."""
    found = []
    for path in _subfolders(folder):
        if path == own:
            continue
        # A folder that is only called X2 holds LR images, too.
        if _SCALE_NAME.fullmatch(path.name):
            found.append(path)
        elif _LR_NAME.fullmatch(path.name):
            scales = [inner for inner in _subfolders(path) if _INNER_SCALE_NAME.fullmatch(inner.name)]
            # With folders by scale inside, the outer one holds no images itself.
            found += scales or [path]
    return found


def _scale_of(path: Path, scale: int) -> Literal["this", "other", "unknown"]:
    """Return which scale the name of a folder of LR images states."""
    if _INNER_SCALE_NAME.fullmatch(path.name):
        return "this" if path.name.lower().strip("x") == str(scale) else "other"
    found = _SCALE_IN_NAME.findall(path.name)
    if not found:
        return "unknown"
    # The last number: names such as ``Set5_x2_LRbicx4`` state the scale at the end.
    return "this" if str(scale) in found[-1] else "other"


def _images_of(folder: Path) -> list[Path]:
    paths = list_images(folder)
    if not paths:
        raise DataError(
            "is named like a folder of LR images and holds none", where=str(folder), hint=f"fill it, or {_OWN_HINT}"
        )
    return paths


def _refuse_unknown_lr(folder: Path, own: Path, hr_paths: Sequence[Path], scale: int) -> None:
    """Raise if a folder of another name holds images that have the names of HR images and the size of LR images."""
    names = {image_name(path): path for path in hr_paths}
    for path in folders_within(folder, _DEPTH):
        if path != own and _holds_lr(path, names, scale):
            raise DataError(
                f"holds images that look like LR images of scale {scale}, but is not named so",
                where=str(path),
                hint=f"rename the folder to LR_x{scale}, or {_OWN_HINT}",
            )
    twins = smaller_copy(hr_paths, _fits_some_scale)
    if twins is not None:
        raise DataError(
            f"holds {twins[0].name}, which looks like an LR image of {twins[1].name}",
            where=str(own),
            hint=f"put LR images into a folder LR_x{scale} beside a folder HR; else keep one of the two only",
        )


def folders_within(folder: Path, depth: int) -> Iterable[Path]:
    """Yield the folders inside a folder, down to `depth` levels."""
    for inner in _subfolders(folder):
        yield inner
        if depth > 1:
            yield from folders_within(inner, depth - 1)


def _holds_lr(folder: Path, hr_by_name: dict[str, Path], scale: int) -> bool:
    """Return whether the first image of a folder that is paired with an HR image has the size of its LR image."""
    # One match decides. The limit bounds the time for large folders of other images.
    for lr in islice(list_images(folder), 50):
        name = scale_in_ending(lr)
        hr = hr_by_name.get(image_name(lr)) or (hr_by_name.get(name[0]) if name else None)
        if hr is not None:
            try:
                return scale > 1 and _fits(image_size(hr), image_size(lr), scale)
            except DataError:  # an unreadable HR image is reported when it is read
                return False
    return False


def _fits(hr: tuple[int, int], lr: tuple[int, int], scale: int) -> bool:
    """Return whether HR is `scale` times as large as LR, apart from a remainder that is cut off."""
    return all(0 <= large - small * scale < scale for large, small in zip(hr, lr, strict=True))


def _fits_some_scale(hr: tuple[int, int], lr: tuple[int, int]) -> bool:
    return any(_fits(hr, lr, scale) for scale in _SCALES)


def _check_sizes(hr_paths: Sequence[Path], lr_paths: Sequence[Path], scale: int) -> None:
    """Raise if an LR image has not the size of its HR image divided by the scale."""
    for hr_path, lr_path in zip(hr_paths, lr_paths, strict=True):
        check_size(image_size(hr_path), image_size(lr_path), scale, hr_path)


def check_size(hr: tuple[int, int], lr: tuple[int, int], scale: int, path: Path) -> None:
    """Raise DataError if an LR image has not the size of its HR image divided by the scale; sizes are (rows, columns).

    A remainder smaller than the scale may be cut off HR.
    """
    if _fits(hr, lr, scale):
        return
    height, width = lr[0] * scale, lr[1] * scale
    up = all(0 <= small - large < scale for large, small in zip(hr, (height, width), strict=True))
    raise DataError(
        f"HR is {hr[1]}x{hr[0]}, but LR {lr[1]}x{lr[0]} times {scale} is {width}x{height}",
        where=str(path),
        hint="LR was rounded up: crop HR to multiples of the scale before LR is made"
        if up
        else "provide the LR images of this scale",
    )


def _subfolders(folder: Path) -> Iterable[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        for path in paths:
            if any(kind.fullmatch(path.name) for kind in (_HR_NAME, _LR_NAME, _SCALE_NAME)) and not path.exists():
                raise DataError("is a broken link", where=str(path), hint="mend the link, or remove it")
        return [path for path in paths if path.is_dir()]
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=str(folder)) from error
