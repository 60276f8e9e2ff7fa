"""Find submissions in folders, zip files and installed packages, without importing their code."""

from __future__ import annotations

import fnmatch
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ManifestError, SubmissionError, UsageError
from harness.faults import concerns_the_run, submission_error
from harness.plain_files import Deadline, survey
from harness.submissions import archives
from harness.submissions.bare import adopt, is_bare
from harness.submissions.boundaries import check_child, others_in
from harness.submissions.challenge.repository import is_repository, submissions_of
from harness.submissions.inbox import is_source, is_submission, other_archive, refuse_archive, skipped, skipped_line
from harness.submissions.installed import installed_submissions
from harness.submissions.manifest import FILE_NAME, Manifest, manifest_file
from harness.submissions.model_tables import Described, read_manifests
from harness.submissions.pairs import find_pairs, submissions_of_pairs, unpaired
from harness.submissions.slugs import natural_key, slugify, unique_slugs
from harness.submissions.submission import PROTOCOL_SCALES, BrokenSubmission, Found, Kind, Origin, Submission
from harness.suggestions import choice
from harness.text import single_line

_HINT_LAYOUT = (
    "`harness new NAME` shows the layout; `harness init` writes a manifest for the checkpoints of a repository"
)

__all__ = ["BrokenSubmission", "Found", "Kind", "Origin", "Submission", "baselines", "discover", "protocol_manifest"]


def discover(
    paths: Iterable[Path | str],
    *,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    entry_points: bool = True,
    kind: Kind = "submission",
    cache_dir: Path | None = None,
    taken: Iterable[str] = (),
) -> list[Found]:
    """List the submissions under ``paths`` and in installed packages, in natural order of their names.

    Parameters
    ----------
    paths
        Folder of a submission, zip file, ONNX file, exported program or checkpoint, or a folder of these.
    only, exclude
        Case-insensitive glob patterns for the name, the slug or the folder.
    entry_points
        Whether to add submissions that installed packages register under ``harness.submissions``.
    kind
        Kind of the returned submissions.
    cache_dir
        Folder to extract zip files to; the user's cache folder by default.
    taken
        Slugs that other rows of the same run have.

    Returns
    -------
    list of Submission or BrokenSubmission
        Submissions with unique slugs. One that cannot be read does not raise, but is returned as broken.

    Raises
    ------
    UsageError
        A path does not exist, or there is no submission.
    """
    places = [Path(path) for path in paths]
    # A folder that is given twice is one submission. Two zip files with equal content are two submissions.
    sources = {_identity(source): source for place in places for source in _sources(place)}
    given = {place.absolute() for place in places}
    found = [one for source in sources.values() for one in _read(source, kind, cache_dir, given)]
    if entry_points:
        found += installed_submissions()
    if not found:
        raise _nothing(places)
    chosen = [one for one in _named(found, taken) if _wanted(one, only, exclude)]
    if not chosen:
        hint = choice(only[0] if only else "", sorted({one.name[:40] for one in found}), most=12)
        raise UsageError(f"no submission is left of {len(found)} after --only and --exclude", hint=hint)
    return chosen


def baselines() -> list[Found]:
    """List the interpolation baselines that every run includes, from the checkout or from the installed wheel."""
    package = Path(__file__).resolve().parent.parent
    # A checkout keeps them beside the package, a wheel inside of it.
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
        hint="`harness new NAME` creates a submission to start from",
    )


def _sources(path: Path) -> list[Path]:
    """Return the folders, zip files and single files at ``path`` that each are a submission."""
    if not path.exists():
        raise UsageError("does not exist", where=str(path), hint="give a submission, a zip file or a folder of them")
    if path.is_file() and (other_archive(path) or not is_source(path)):
        raise UsageError("is not a submission", where=str(path), hint="give its folder, a zip of it, or an ONNX file")
    if path.is_file():
        return [path]
    if is_submission(path):
        _refuse_mixture(path)
        return [path]
    if _is_challenge(path) or _holds_pairs(path):
        return [path]
    try:
        children = sorted(path.iterdir())
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise UsageError(reason, where=str(path), hint="check its permissions") from error
    sources = [child for child in children if is_source(child)]
    if _is_undescribed(children, sources):
        raise UsageError(
            "is a repository of which nothing says what its networks are",
            where=str(path),
            hint=f"`harness init {shlex.quote(str(path))}` writes a manifest for the checkpoints in it",
        )
    return sources


def _is_undescribed(children: Sequence[Path], sources: Sequence[Path]) -> bool:
    """Return whether a folder is a repository, with code or a history of its own, and holds no submission."""
    has_code = any(child.suffix == ".py" for child in children)
    has_history = bool(sources) and any(child.name == ".git" for child in children)
    return (has_code or has_history) and all(_is_mere_code(source) for source in sources)


def _is_mere_code(source: Path) -> bool:
    try:
        folder = archives.submission_folder(source) if source.is_dir() else None
        return folder is not None and not (is_submission(folder) or _is_challenge(folder) or _holds_pairs(folder))
    except (OSError, SubmissionError):
        return False


def skipped_note(paths: Iterable[Path | str]) -> str:
    """Return a line that names what has no row: folders that are no submissions, checkpoints without a model file."""
    lines = [skipped_line(skipped_folders(paths))]
    for place in map(Path, paths):
        if place.is_dir() and _holds_pairs(place) and not _is_challenge(place):
            hint = f"no model file has their names; `harness init {shlex.quote(str(place))}` looks for their classes"
            lines.append(skipped_line(unpaired(place), hint))
    return "; ".join(filter(None, lines))


def skipped_folders(paths: Iterable[Path | str]) -> list[str]:
    """Return the names of the folders in folders of submissions that are no submissions, and so have no row.

    Folders of results of the harness, hidden ones and by-products of packing are left out.
    """
    names: list[str] = []
    for place in map(Path, paths):
        sources = _sources(place) if place.is_dir() else [place]
        if place not in sources:
            names += skipped(sources, place)
    return names


def _identity(source: Path) -> Path:
    """Return what is equal for two paths of one submission."""
    try:
        return source.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return source


def _refuse_mixture(folder: Path) -> None:
    described = _manifests_of(folder)
    others = [] if _is_described_as_a_whole(folder) else others_in(folder, described[0] if described else None)
    if others:
        raise UsageError(
            f"is a submission (it has a manifest or arch.py) and holds others: {', '.join(map(ascii, others[:5]))}",
            where=str(folder),
            hint="move the loose files into a folder of their own: their code could read the other submissions",
        )


def _is_described_as_a_whole(folder: Path) -> bool:
    """Return whether a manifest describes a repository: several models, or what ``harness init`` found."""
    path = manifest_file(folder)
    return path is not None and (path.name != FILE_NAME or len(_manifests_of(folder)) > 1)


def _manifests_of(folder: Path) -> list[Manifest]:
    try:
        return [one.manifest for one in read_manifests(folder) if isinstance(one.manifest, Manifest)]
    except SubmissionError:
        return []


def _is_challenge(folder: Path) -> bool:
    """Return whether a folder is the repository of a challenge. One whose script cannot be read is: it has a row."""
    try:
        return not is_submission(folder) and is_repository(folder)
    except SubmissionError:
        return True
    except OSError:
        return False


def _holds_pairs(folder: Path) -> bool:
    """Return whether a folder has model files beside checkpoints of their names, and no other submissions in it."""
    pairs = [] if is_submission(folder) else find_pairs(folder)
    if not pairs:
        return False
    own = {file for pair in pairs for file in pair.weights.values()}
    return not any(_is_other(child) for child in folder.iterdir() if child.name not in own)


def _is_other(child: Path) -> bool:
    if child.is_dir():
        return is_submission(child)
    return child.suffix.lower() == ".zip" or is_bare(child)


def _read(source: Path, kind: Kind, cache_dir: Path | None, given: Collection[Path]) -> list[Found]:
    """Describe one submission, or those of one repository. The exception that it causes becomes its row."""
    try:
        if source.absolute() not in given:  # what a user names may be a link, what lies in a folder may not lead out
            check_child(source, source.parent)
        return _described(source, kind, cache_dir)
    except Exception as error:
        if concerns_the_run(error):
            raise
        return [BrokenSubmission(_name_of(source), source, submission_error(error, str(source)), kind=kind)]


def _name_of(source: Path) -> str:
    # The name of a folder may contain dots, that of a file ends with a suffix.
    is_file = source.suffix.lower() == ".zip" or is_bare(source)
    suffix = other_archive(source) or (source.suffix if is_file else "")
    return visible_name(source.name[: len(source.name) - len(suffix)])


def _described(source: Path, kind: Kind, cache_dir: Path | None) -> list[Found]:
    if source.is_dir():
        folder = archives.submission_folder(source)
        return _in_repository(folder, kind, cache_dir) or _from_folder(folder, kind, source.resolve().name)
    if source.suffix.lower() == ".zip":
        return _from_zip(source, kind, cache_dir)
    refuse_archive(source)
    root, manifest = adopt(source, cache_dir)
    return [Submission(manifest.name, "", kind, root, manifest, "file", given=source)]


def _from_zip(source: Path, kind: Kind, cache_dir: Path | None) -> list[Found]:
    folder = archives.extract(source, cache_dir, deadline=Deadline())
    try:
        of_repository = _in_repository(folder, kind, cache_dir)
        found = of_repository or _from_folder(folder, kind, source.stem)
    except SubmissionError as error:
        _name_archive(error, folder, source)
        raise
    return [_zipped(one, folder, source) for one in found]


def _zipped(one: Found, folder: Path, source: Path) -> Found:
    if isinstance(one, BrokenSubmission):
        _name_archive(one.error, folder, source)
        return replace(one, path=source if one.path == folder else one.path)
    # The networks of a repository have folders of their own, which were not extracted from the archive.
    return replace(one, origin="zip", given=source) if one.root == folder.resolve() else one


def _name_archive(error: SubmissionError, folder: Path, source: Path) -> None:
    """Let an error name the archive in place of the cache folder to which it was extracted."""

    def named(text: str) -> str:
        return text.replace(str(folder.resolve()), str(source)).replace(str(folder), str(source))

    error.what = named(error.what)
    error.where = None if error.where is None else named(error.where)
    error.hint = None if error.hint is None else named(error.hint)


def _in_repository(folder: Path, kind: Kind, cache_dir: Path | None) -> list[Found]:
    """Return the submissions of a folder that holds several by its layout; none if it is of another kind."""
    if _is_challenge(folder):
        return submissions_of(folder, kind, cache_dir)
    return submissions_of_pairs(folder, kind, cache_dir) if _holds_pairs(folder) else []


def _from_folder(folder: Path, kind: Kind, name: str) -> list[Found]:
    survey(folder)  # raises for links that leave the folder, and for folders beyond the limits
    if manifest_file(folder) is None:
        manifest = protocol_manifest(folder, name)
        described = [Described(manifest.name, manifest)]
    else:
        described = read_manifests(folder)
    if not _is_described_as_a_whole(folder) and isinstance(described[0].manifest, Manifest):
        _refuse_others(folder, described[0].manifest)
    return [_found(one, folder, kind) for one in described]


def _found(described: Described, folder: Path, kind: Kind) -> Found:
    if isinstance(described.manifest, Manifest):
        return Submission(described.name, "", kind, folder.resolve(), described.manifest, "folder")
    return BrokenSubmission(described.name, folder, described.manifest, kind=kind)


def _refuse_others(folder: Path, manifest: Manifest) -> None:
    others = others_in(folder, manifest)
    if others:
        raise ManifestError(
            f"holds other submissions: {', '.join(map(ascii, others[:5]))}",
            where=str(folder),
            hint="move the loose files into a folder of their own, or submit each of them",
        )


def visible_name(name: str) -> str:
    """Return the name of a file or folder as one line of visible text that a manifest could have as its name."""
    return single_line(name, 200) or "submission"


def protocol_manifest(folder: Path, name: str) -> Manifest:
    """Return a generated manifest for a submission in the NTIRE 2023 layout, which has no manifest.

    The layout is ``arch.py`` with a function ``srmodel()`` without arguments, ``checkpoint.pth``, and optionally
    ``utils/``, ``results/`` and ``requirements.txt``. It does not state the scale.

    Raises
    ------
    ManifestError
        The folder has no ``arch.py``.
    """
    if not (folder / "arch.py").is_file():
        raise ManifestError("has neither submission.toml nor arch.py", where=str(folder), hint=_HINT_LAYOUT)
    names = ("checkpoint.pth", "checkpoint.pt", "checkpoint.safetensors")
    checkpoint = next((file for file in names if (folder / file).is_file()), None)
    weights = {f"x{scale}": checkpoint for scale in PROTOCOL_SCALES} if checkpoint else None
    return Manifest(name=visible_name(name), scales=list(PROTOCOL_SCALES), weights=weights)


def _named(found: Iterable[Found], taken: Iterable[str]) -> list[Found]:
    """Return the submissions in natural order of their names, with unique slugs."""
    ordered = sorted(found, key=lambda one: (natural_key(one.name), str(_place(one))))
    # Sorted before numbering, so that suffixes such as -2 do not depend on the order of the arguments.
    slugs = unique_slugs((one.name for one in ordered), taken)
    return [replace(one, slug=slug) for one, slug in zip(ordered, slugs, strict=True)]


def _place(one: Found) -> Path:
    return one.root if isinstance(one, Submission) else one.path


def _wanted(one: Found, only: Sequence[str], exclude: Sequence[str]) -> bool:
    names = {one.name.casefold(), one.slug.casefold(), slugify(one.name).casefold(), _place(one).name.casefold()}

    def matches(globs: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, glob.casefold()) for glob in globs for name in names)

    return (not only or matches(only)) and not matches(exclude)
