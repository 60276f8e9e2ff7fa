"""Find submissions in folders, zip files and installed packages, without importing anything of theirs."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ManifestError, SubmissionError, UsageError
from harness.submissions import archives
from harness.submissions.bare import adopt, is_bare
from harness.submissions.installed import installed_submissions
from harness.submissions.manifest import FILE_NAME, Manifest, read_manifest
from harness.submissions.slugs import natural_key, slugify, unique_slugs
from harness.submissions.submission import PROTOCOL_SCALES, BrokenSubmission, Found, Kind, Origin, Submission

__all__ = ["BrokenSubmission", "Found", "Kind", "Origin", "Submission", "baselines", "discover", "protocol_manifest"]

_CODE = {".py", ".toml", ".pth", ".pt", ".ckpt", ".safetensors"}


def discover(
    paths: Iterable[Path | str],
    *,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    entry_points: bool = True,
    kind: Kind = "submission",
    cache_dir: Path | None = None,
) -> list[Found]:
    """List the submissions under ``paths`` and in installed packages, in natural order of their names.

    Parameters
    ----------
    paths
        Each a submission's folder, a zip file, an ONNX file, exported program or checkpoint, or a folder of these.
    only, exclude
        Globs on the name or the slug, case aside.
    entry_points
        Add what installed packages offer under ``harness.submissions``.
    cache_dir
        Where zip files are extracted; the user's cache folder by default.

    Raises
    ------
    UsageError
        A path does not exist, or nothing is found.
    """
    places = [Path(path) for path in paths]
    found: list[Found] = [one for path in places for one in _at(path, kind, cache_dir)]
    if entry_points:
        found += installed_submissions()
    if not found:
        raise _nothing(places)
    chosen = [one for one in _named(_distinct(found)) if _wanted(one, only, exclude)]
    if not chosen:
        raise UsageError(
            f"no submission is left of {len(found)} after --only and --exclude",
            mend=f"the names are {', '.join(sorted(one.name[:40] for one in found)[:12])}",
        )
    return chosen


def baselines() -> list[Found]:
    """List the interpolations that every run includes: ``baselines/`` of the checkout, or the wheel's copy."""
    package = Path(__file__).resolve().parent.parent
    folders = (package.parent / "baselines", package / "_baselines")
    for folder in folders:
        if any(folder.glob(f"*/{FILE_NAME}")):
            return discover([folder], entry_points=False, kind="baseline")
    return []


def _nothing(paths: Sequence[Path]) -> UsageError:
    where = ", ".join(map(str, paths)) or "installed packages"
    return UsageError(
        "there is no submission: no folder with submission.toml or arch.py, no zip file, no installed package",
        where=where,
        mend="`harness new NAME` writes a submission to start from",
    )


def _at(path: Path, kind: Kind, cache_dir: Path | None) -> list[Found]:
    if not path.exists():
        raise UsageError("does not exist", where=str(path), mend="give a submission, a zip file or a folder of them")
    if path.is_file():
        one = _from_file(path, kind, cache_dir)
        if one is None:
            raise UsageError("is no submission", where=str(path), mend="give its folder, a zip of it, or an ONNX file")
        return [one]
    if _is_submission(path):
        return [_from_folder(path, kind)]
    return [one for child in sorted(path.iterdir()) if (one := _child(child, kind, cache_dir))]


def _child(path: Path, kind: Kind, cache_dir: Path | None) -> Found | None:
    if path.name.startswith((".", "__")):
        return None
    if path.is_file():
        return _from_file(path, kind, cache_dir)
    if not path.is_dir():
        return None
    folder = archives.submission_folder(path)
    if _is_submission(folder) or any(child.suffix in _CODE for child in folder.iterdir()):
        return _from_folder(folder, kind, name=path.name)
    return None


def _is_submission(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file() or (folder / "arch.py").is_file()


def _from_file(path: Path, kind: Kind, cache_dir: Path | None) -> Found | None:
    if path.suffix.lower() == ".zip":
        return _from_zip(path, kind, cache_dir)
    if not is_bare(path):
        return None
    try:
        root, manifest = adopt(path, cache_dir)
    except SubmissionError as error:
        return BrokenSubmission(path.stem, path, error, kind=kind)
    return Submission(manifest.name, "", kind, root, manifest, "file")


def _from_zip(path: Path, kind: Kind, cache_dir: Path | None) -> Found:
    try:
        folder = archives.extract(path, cache_dir)
    except SubmissionError as error:
        return BrokenSubmission(path.stem, path, error, kind=kind)
    found = _from_folder(folder, kind, name=path.stem)
    return replace(found, origin="zip") if isinstance(found, Submission) else replace(found, path=path)


def _from_folder(folder: Path, kind: Kind, name: str | None = None) -> Found:
    name = name or folder.resolve().name
    try:
        manifest = read_manifest(folder) if (folder / FILE_NAME).is_file() else protocol_manifest(folder, name)
    except SubmissionError as error:
        return BrokenSubmission(name, folder, error, kind=kind)
    return Submission(manifest.name, "", kind, folder.resolve(), manifest, "folder")


def protocol_manifest(folder: Path, name: str) -> Manifest:
    """Return the manifest of a submission in the NTIRE 2023 layout, which has none of its own.

    That layout is ``arch.py`` with ``srmodel()`` taking no argument, ``checkpoint.pth``, and optionally
    ``utils/``, ``results/`` and ``requirements.txt``. Its scale is not written anywhere.
    """
    if not (folder / "arch.py").is_file():
        raise ManifestError(
            "has neither submission.toml nor arch.py", where=str(folder), mend="`harness new NAME` shows the layout"
        )
    names = ("checkpoint.pth", "checkpoint.pt", "checkpoint.safetensors")
    checkpoint = next((file for file in names if (folder / file).is_file()), None)
    weights = {f"x{scale}": checkpoint for scale in PROTOCOL_SCALES} if checkpoint else None
    visible = "".join(character if character.isprintable() else "?" for character in name).strip()[:200]
    return Manifest(name=visible or "submission", scales=list(PROTOCOL_SCALES), weights=weights)


def _distinct(found: Iterable[Found]) -> list[Found]:
    """Drop what was reached on two ways, such as a folder given twice."""
    kept: dict[tuple[Path, str], Found] = {}
    for one in found:
        # A package may offer several submissions in one folder, which differ in their factory.
        factory = one.manifest.factory if isinstance(one, Submission) and one.module else ""
        kept.setdefault((_place(one).resolve(), factory), one)
    return list(kept.values())


def _named(found: Iterable[Found]) -> list[Found]:
    ordered = sorted(found, key=lambda one: (natural_key(one.name), str(_place(one))))
    slugs = unique_slugs(one.name for one in ordered)
    return [replace(one, slug=slug) for one, slug in zip(ordered, slugs, strict=True)]


def _place(one: Found) -> Path:
    return one.root if isinstance(one, Submission) else one.path


def _wanted(one: Found, only: Sequence[str], exclude: Sequence[str]) -> bool:
    names = {one.name.casefold(), one.slug.casefold(), slugify(one.name).casefold(), _place(one).name.casefold()}

    def matches(globs: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, glob.casefold()) for glob in globs for name in names)

    return (not only or matches(only)) and not matches(exclude)
