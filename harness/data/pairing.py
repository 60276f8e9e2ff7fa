"""Pair LR with HR images by the file names that the field uses, such as ``0801x2.png`` for ``0801.png``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.data.images import image_name
from harness.errors import DataError

# SRF, for super-resolution factor, is part of the names in a common copy of Set5 and Set14: img_001_SRF_2_LR.png.
_SEPARATOR = r"[_\-. ]?"
# Such as _HR, _GT, _SRF_2_HR and _HR_x2.
_HR_ENDING = re.compile(r"(?:[_\-. ]SRF[_\-]?\d+)?[_\-. ](?:HR|GT)(?:[_\-]?x?\d+)?", re.IGNORECASE)
# Such as _LR, _LRx2, _SRF_2_LR and _LRBI_x2.
_LR_ENDING = re.compile(
    r"(?:[_\-. ]SRF[_\-]?\d+)?[_\-. ](?:LR|LQ)(?:BI|BD|DN|bic|bicubic)?(?:[_\-]?x?(?P<scale>\d+))?", re.IGNORECASE
)
_SCALE_ENDING = re.compile(rf"{_SEPARATOR}(?:x(?P<scale>\d+)|(?P<factor>\d+)x)", re.IGNORECASE)


def pair(hr_paths: Sequence[Path], lr_paths: Iterable[Path], scale: int, where: str) -> list[Path]:
    """Return the LR image of each HR image.

    It has the same name, or the name with an ending: ``x2``, ``_x2``, ``x2m``, ``2x``, ``_LR``, ``_LRx2``, ``_LR2``,
    ``_SRF_2_LR``, ``_LRBI_x2``, ``_bicubic_x2`` and the like for scale 2, in upper or lower case. An HR image may have
    an ending of its own, which its LR image lacks: ``_HR``, ``_GT``, ``_SRF_2_HR``, ``_HR_x2``.

    Parameters
    ----------
    hr_paths
        HR images.
    lr_paths
        Candidates. Those whose names state another scale are not used.
    scale
        The scale that names may end with.
    where
        Description of the folder of LR images, for errors.

    Raises
    ------
    DataError
        An HR image has no LR image, or several; or an LR image has no HR image.
    """
    lr_paths = list(lr_paths)
    found = _candidates([image_name(path) for path in hr_paths], lr_paths, scale)
    _refuse_several(found, where, "keep one, in the format that you mean")
    missing = [hr.name for hr, lrs in zip(hr_paths, found, strict=True) if not lrs]
    if missing:
        raise DataError(
            f"has no LR image for {len(missing)} of {len(hr_paths)} HR images: {', '.join(missing[:5])}",
            where=where,
            hint=f"name LR images as the HR images are named, or with x{scale} appended",
        )
    paired = [lrs[0] for lrs in found]
    used = set(paired)  # once, because a data set may have thousands of images
    alone = [path.name for path in lr_paths if path not in used and _may_have_scale(path, scale)]
    if alone:
        raise DataError(
            f"has {len(alone)} LR images without an HR image: {', '.join(alone[:5])}",
            where=where,
            hint="add their HR images, or move these LR images elsewhere",
        )
    return paired


def pairs_of(hr_paths: Sequence[Path], lr_paths: Sequence[Path], scale: int) -> Iterator[tuple[Path, Path]]:
    """Yield each HR image with each LR image that it can have by its name; see `pair`."""
    for hr, lrs in zip(hr_paths, _candidates([image_name(path) for path in hr_paths], lr_paths, scale), strict=True):
        yield from ((hr, lr) for lr in lrs)


def _may_have_scale(path: Path, scale: int) -> bool:
    """Return whether the name of an LR image states this scale or none."""
    name = image_name(path)
    endings = [_ending(pattern, name) for pattern in (_SCALE_ENDING, _LR_ENDING)]
    stated = {number for found in endings if found for number in found.groupdict().values() if number}
    return not stated or str(scale) in stated


def refuse_several(hr_paths: Sequence[Path], lr_paths: Sequence[Path], scale: int, where: str, hint: str) -> None:
    """Raise DataError if `pair` would find several LR images of one HR image; the parameters are those of `pair`."""
    _refuse_several(_candidates([image_name(path) for path in hr_paths], lr_paths, scale), where, hint)


def _refuse_several(found: Iterable[Sequence[Path]], where: str, hint: str) -> None:
    several = next((lrs for lrs in found if len(lrs) > 1), None)
    if several is not None:
        names = " and ".join(path.name for path in several)
        raise DataError(f"{names} are LR images of the same HR image", where=where, hint=hint)


def split_roles(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Separate the LR images of a folder that contains both from all others.

    A file is an LR image if its name ends with ``_LR`` or ``_LQ`` (and perhaps a scale) and another one's name is the
    same with ``_HR`` or ``_GT``, or with no ending.

    Returns
    -------
    hr, lr
        HR images and LR images. Where names end with ``_HR``, other variants of these images, such as
        ``img_001_SRF_2_bicubic.png``, are in neither.

    Raises
    ------
    DataError
        Names end with ``_HR`` and ``_LR``, and further images belong to none of them.
    """
    known = {image_name(path).casefold() for path in paths}
    bases = {_base(name) for path in paths if (name := image_name(path)) and _ending(_HR_ENDING, name)}
    lr = [path for path in paths if _lr_base(path) in known or _lr_base(path) in bases]
    rest = sorted(set(paths) - set(lr))
    if not lr or not bases:
        return rest, lr
    hr = [path for path in rest if _ending(_HR_ENDING, image_name(path))]
    strangers = [
        path.name
        for path in rest
        if path not in hr and not image_name(path).casefold().startswith(tuple(f"{base}_" for base in bases))
    ]
    if strangers:
        raise DataError(
            f"holds HR and LR images, and {len(strangers)} others whose names do not say which: {strangers[0]}",
            where=str(paths[0].parent),
            hint="put HR images into a folder HR and LR images into a folder LR_x2",
        )
    return hr, lr


def scale_in_ending(path: Path) -> tuple[str, int] | None:
    """Return what precedes an ending such as ``x2`` or ``_x2`` of an image's name, and the scale; None without one."""
    name = image_name(path)
    found = _ending(_SCALE_ENDING, name)
    if not found or not found.start():
        return None
    return name[: found.start()].casefold(), int(found["scale"] or found["factor"])


def _lr_base(path: Path) -> str | None:
    name = image_name(path)
    found = _ending(_LR_ENDING, name)
    return name[: found.start()].casefold() if found and found.start() else None


def _base(name: str) -> str:
    """Return the name of an HR image without an ending such as ``_HR``, in lower case."""
    found = _ending(_HR_ENDING, name)
    return (name[: found.start()] if found and found.start() else name).casefold()


def _ending(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    """Return the longest match of a pattern that extends to the end of a name."""
    matches = (pattern.fullmatch(name, start) for start in range(len(name)))
    return next((match for match in matches if match), None)


def _lr_endings(scale: int) -> re.Pattern[str]:
    """Return the pattern of everything that the name of an LR image may have more than that of its HR image."""
    kinds = "bicubic|bic|unknown|mild|difficult|wild|lowres|jpe?g\\d*|avif\\d*"
    words = rf"SRF[_\-]?{scale}|(?:LR|LQ)(?:BI|BD|DN|bicubic|bic)?(?:[_\-]?{scale}(?!\d))?"
    ending = rf"x{scale}(?:m|d|w\d*)?|{scale}x"
    return re.compile(rf"(?:{_SEPARATOR}(?:{words}|{ending})|[_\-. ](?:{kinds}))+", re.IGNORECASE)


def _candidates(hr_names: Sequence[str], lr_paths: Sequence[Path], scale: int) -> list[list[Path]]:
    """Return all LR images that each HR image can have."""
    equal = _by_name(lr_paths)
    names = [name.casefold() for name in hr_names]
    if len(set(names)) < len(names):  # names that differ in case only
        names = list(hr_names)
        equal = {image_name(path): [p for p in lr_paths if image_name(p) == image_name(path)] for path in lr_paths}
    ended = _with_ending(hr_names, lr_paths, scale)
    taken = {path for name in names for path in equal.get(name, [])}
    # An LR image of the same name as an HR image belongs to that one: with HR a and ax2, ax2 is not that of a.
    found = [
        [*equal.get(name, []), *(path for path in ended[index] if path not in taken)]
        for index, name in enumerate(names)
    ]
    if all(found):
        return found
    # Unless all LR images have an ending: HR a and ax2 with LR ax2 and ax2x2.
    return ended if all(ended) else found


def _by_name(lr_paths: Sequence[Path]) -> Mapping[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in lr_paths:
        found[image_name(path).casefold()].append(path)
    return found


def _with_ending(hr_names: Sequence[str], lr_paths: Sequence[Path], scale: int) -> list[list[Path]]:
    """Return the LR images whose names are those of HR images with an ending; the longest HR name counts."""
    pattern = _lr_endings(scale)
    bases: dict[str, list[int]] = defaultdict(list)
    for index, hr_name in enumerate(hr_names):
        for base in {hr_name.casefold(), _base(hr_name)}:
            bases[base].append(index)
    found: list[list[Path]] = [[] for _ in hr_names]
    for path in lr_paths:
        name = image_name(path)
        starts = (start for start in range(len(name), 0, -1) if start == len(name) or pattern.fullmatch(name, start))
        for start in starts:
            # An LR image with the very name of an HR image is paired by `_by_name`.
            indices = [i for i in bases.get(name[:start].casefold(), []) if hr_names[i].casefold() != name.casefold()]
            for index in indices:
                found[index].append(path)
            if indices:
                break
    return found
