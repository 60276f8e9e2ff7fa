"""Refuse a call of :func:`harness.data.prepare` that would lose a file or make a data set that no run accepts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.data.images import image_name, image_size, list_images
from harness.data.pairing import refuse_several
from harness.data.prepared_files import Record, Work, cropped_size, file_sha256, identity
from harness.errors import DataError

_OTHER_OUT = "give another output folder"


def refuse_losses(sources: Sequence[Path], work: Work) -> None:
    """Raise before anything is written if a file would be lost, or images of one name would come about.

    Raises
    ------
    DataError
        A source would be changed; a file is in the way that no call made; an image of another scale needs the present
        HR image; or an LR image would be the second one of its HR image.
    """
    # Before records: who writes at the same time stores the record of a file before the file.
    lr, hr = set(_images(work.lr_folder())), _images(work.out / "HR")
    hr_by_name = _by_name(hr)
    recorded: set[Path] = set()
    for source in sources:
        records = work.records(source)
        own = {work.out / name for record in records for name in record.files}
        recorded |= {work.out / name for record in records if record.scale == work.scale for name in record.files}
        _refuse_change_of_source(source, work)
        _refuse_in_the_way({work.lr_path(source)} & lr, own)
        if work.writes_hr(source):
            _refuse_in_the_way(hr_by_name.get(image_name(source), []), own)
        for record in records:
            _refuse_other_hr(source, record, work)
    names = {image_name(source) for source in sources}
    others = [path for path in hr if image_name(path) not in names]
    lr_after = sorted(lr - recorded | {work.lr_path(source) for source in sources})
    hint = f"{_OTHER_OUT}, or move the LR images that are there elsewhere"
    refuse_several([*sources, *others], lr_after, work.scale, f"{work.lr_folder()} after this call", hint)


def _images(folder: Path) -> list[Path]:
    return list_images(folder) if folder.is_dir() else []


def _by_name(paths: Iterable[Path]) -> Mapping[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[image_name(path)].append(path)
    return found


def _refuse_change_of_source(source: Path, work: Work) -> None:
    """Raise if a source that is itself the HR image would have to be cropped, or is where another file is written."""
    written = [work.lr_path(source), *([work.hr_path(source)] if work.writes_hr(source) else [])]
    for path in written:
        if identity(path) in work.sources:
            raise DataError("is a source and would be overwritten", where=str(path), hint=_OTHER_OUT)
    if not (work.with_hr and work.is_in_place(source)):
        return
    size = _size(source)
    cut = size and cropped_size(size, work.crop, work.scale)
    if size and cut and cut != size:
        leave = "; or have HR images left as they are with --no-hr" if work.crop is None else ""
        raise DataError(
            f"is {size[1]}x{size[0]} and would be overwritten by its own crop of {cut[1]}x{cut[0]}",
            where=str(source),
            hint=_OTHER_OUT + leave,
        )


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return image_size(path)
    except DataError:  # reported when the image is read, and nothing is written for it
        return None


def _refuse_in_the_way(paths: Iterable[Path], own: set[Path]) -> None:
    """Raise if a file of the name of one to be written is there that no call made."""
    for path in paths:
        if path not in own:
            raise DataError(
                "is there already, and harness prepare did not make it",
                where=str(path),
                hint=f"{_OTHER_OUT}, or move this file elsewhere",
            )


def _refuse_other_hr(source: Path, record: Record, work: Work) -> None:
    """Raise if LR images of another scale were made from another HR image than the one that LR is made from now."""
    hr = work.hr_path(source)
    shares_hr = work.writes_hr(source) or hr.relative_to(work.out).as_posix() in record.files
    needs_hr = any((work.out / name).exists() for name in record.files if not name.startswith("HR/"))
    size = _size(source)
    # An HR image in place is not changed, whatever it was made from.
    if record.scale == work.scale or work.is_in_place(source) or not (shares_hr and needs_hr) or size is None:
        return
    theirs, ours = (cropped_size(size, *of) for of in ((record.crop, record.scale), (work.crop, work.scale)))
    if theirs != ours:
        sizes = f"{theirs[1]}x{theirs[0]}, and scale {work.scale} a crop of {ours[1]}x{ours[0]}"
        what = f"LR_x{record.scale} needs HR cropped to {sizes}"
    elif record.source != file_sha256(source):
        what = f"LR_x{record.scale} was made from another image of this name than {source}"
    else:
        return
    hint = f"{_OTHER_OUT}, remove LR_x{record.scale}, or make both scales with one --crop that both divide"
    raise DataError(what, where=str(hr), hint=hint)
