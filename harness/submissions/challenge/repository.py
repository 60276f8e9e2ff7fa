"""List the submissions of a challenge's repository: one for each branch of its script."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import CheckpointError, ManifestError, SubmissionError
from harness.faults import concerns_the_run, submission_error
from harness.plain_files import open_plain, survey
from harness.submissions.archives import default_cache
from harness.submissions.challenge.extract import extract
from harness.submissions.challenge.imports import Needs, needs_of
from harness.submissions.challenge.packages import required
from harness.submissions.challenge.pruning import modules_imported, needed_statements
from harness.submissions.challenge.script import SCRIPT, Branch, Chain, find_chain
from harness.submissions.manifest import Manifest, is_inside
from harness.submissions.submission import PROTOCOL_SCALES, BrokenSubmission, Found, Kind, Submission
from harness.text import single_line

PREFIX = "harness.challenge:"
"""Start of the factory of a branch, before ``branch_`` and its number."""

_FACTORY = re.compile(r"branch_(minus_)?(\d+)")
_MAX_BRANCHES = 2000


@dataclass(frozen=True)
class Repository:
    """A repository of a challenge.

    Attributes
    ----------
    root
        Its folder.
    chain
        The chain of its script.
    branches
        What its branches say, by number, or why one cannot be read.
    script
        What the part of the script needs that chooses a network.
    """

    root: Path
    chain: Chain
    branches: Mapping[int, Branch | SubmissionError]
    script: Needs


def is_repository(root: Path) -> bool:
    """Return whether a folder has the script of a challenge with at least one branch.

    Raises
    ------
    SubmissionError
        It has the script, which cannot be read.
    """
    return find_chain(root) is not None


def submissions_of(root: Path, kind: Kind, cache_dir: Path | None = None) -> list[Found]:
    """Return one submission for each branch of a repository's script, in the order of their numbers.

    Parameters
    ----------
    root
        The repository.
    kind
        Kind of the returned submissions.
    cache_dir
        Folder to which the files of each branch are copied; the user's cache folder by default.

    Raises
    ------
    SubmissionError
        The folder has no such script, or one that cannot be read.
    """
    chain = find_chain(root)
    if chain is None:
        raise SubmissionError(f"has no {SCRIPT} with a chain of models", where=str(root), hint="add submission.toml")
    if len(chain.branches) > _MAX_BRANCHES:
        what = f"{SCRIPT} has more than {_MAX_BRANCHES} branches"
        raise SubmissionError(what, where=str(root), hint="give each model a manifest")
    branches = {number: _read(chain, number, root) for number in chain.branches}
    script = needs_of(root, modules_imported(needed_statements(chain)))
    repository = Repository(root, chain, branches, script)
    return [_found(repository, number, kind, cache_dir or default_cache()) for number in chain.branches]


def factory_of(number: int) -> str:
    """Return the factory in the manifest of a branch.

    >>> factory_of(7), factory_of(-1)
    ('harness.challenge:branch_7', 'harness.challenge:branch_minus_1')
    """
    return f"{PREFIX}branch_{'minus_' if number < 0 else ''}{abs(number)}"


def number_of(factory: str) -> int:
    """Return the number of a branch from its factory.

    Raises
    ------
    ManifestError
        It names no branch.
    """
    match = _FACTORY.fullmatch(factory.removeprefix(PREFIX))
    if match is None or not factory.startswith(PREFIX):
        raise ManifestError(f"{factory!a} is no branch of a script", hint=f"a branch is called {factory_of(7)}")
    return -int(match[2]) if match[1] else int(match[2])


def _read(chain: Chain, number: int, root: Path) -> Branch | SubmissionError:
    try:
        return chain.read(number)
    except Exception as error:
        if concerns_the_run(error):
            raise
        return submission_error(error, f"{root / SCRIPT}, model_id {number}")


def _found(repository: Repository, number: int, kind: Kind, cache: Path) -> Found:
    """Describe one branch. Whatever it is, the exception that it causes becomes its row."""
    branch = repository.branches[number]
    name, place = f"{number:02}", repository.root / f"{number:02}"
    if isinstance(branch, SubmissionError):
        return BrokenSubmission(name, place, branch, kind=kind)
    name = _name(branch)
    try:
        return _submission(repository, branch, name, kind, cache)
    except Exception as error:
        if concerns_the_run(error):
            raise
        where = f"{repository.root / SCRIPT}, model_id {number}"
        return BrokenSubmission(name, place, submission_error(error, where), kind=kind)


def _name(branch: Branch) -> str:
    """Return the name that the script gives the network, with the number before it if it does not begin with one."""
    # The number makes rows of one repository sort and compare by team.
    said = single_line(branch.name, 200)
    return said if re.match(r"-?\d", said) else "_".join(filter(None, [f"{branch.number:02}", said]))


def _submission(repository: Repository, branch: Branch, name: str, kind: Kind, cache: Path) -> Submission:
    root = repository.root
    _check_range(branch, root)
    for path in branch.checkpoints:
        _check_checkpoint(root, path)
    files, requires = _files(repository, branch)
    manifest = _manifest(branch, name, repository.chain.scale, requires)
    folder = extract(root, files, manifest, cache, f"{branch.number:02}")
    return Submission(name, "", kind, folder, manifest, "folder")


def _manifest(branch: Branch, name: str, scale: int | None, requires: list[str]) -> Manifest:
    # Without a scale or a value range in the script, nothing is stated, and both are found out.
    scales = list(PROTOCOL_SCALES) if scale is None or branch.value_range is None else [scale]
    weights = {f"x{one}": branch.checkpoints[0] for one in scales} if len(branch.checkpoints) == 1 else None
    return Manifest(
        name=name,
        team=f"team{branch.number:02}",
        scales=scales,
        factory=factory_of(branch.number),
        value_range=branch.value_range or 1.0,
        requires=requires,
        weights=weights,
    )


def _check_range(branch: Branch, root: Path) -> None:
    if branch.value_range not in (None, 1.0, 255.0):
        what = f"states data_range = {branch.value_range:g}, known are 1.0 and 255.0"
        raise ManifestError(what, where=_place(root, branch), hint="correct it in the script")


def _place(root: Path, branch: Branch) -> str:
    return f"{root / SCRIPT}, model_id {branch.number}"


def _check_checkpoint(root: Path, path: str) -> None:
    """Raise if a checkpoint is not in the repository: with its place there, which a worker would not see."""
    file = root / path
    if not is_inside(path):
        what = f"its checkpoint {path!a} lies outside of the repository"
        raise CheckpointError(what, where=str(root / SCRIPT), hint="name it relative to the repository")
    if not file.is_file():
        hint = "download it to this place: repositories leave out large files, or link to them in a text file there"
        raise CheckpointError("its checkpoint is not in the repository", where=str(file), hint=hint)
    with open_plain(file) as stream:
        head = stream.read(64)
    if head.startswith(b"version https://git-lfs"):
        what = "its checkpoint is a Git LFS pointer, not the weights themselves"
        raise CheckpointError(what, where=str(file), hint="run `git lfs pull` in the repository")


def _files(repository: Repository, branch: Branch) -> tuple[set[str], list[str]]:
    """Return the files that a branch uses, and the distributions that are missing for it."""
    root = repository.root
    modules = [*branch.imported, *([branch.network.of.module] if branch.network else [])]
    _check_module(root, branch)
    own, script = needs_of(root, modules), repository.script
    files = {SCRIPT, repository.chain.file, *own.files, *script.files, *branch.checkpoints}
    # The script's own function is called where its branch could not be read.
    packages = {**own.packages, **({} if branch.is_clear else script.packages)}
    return files | _own_folder(repository, branch) | _named_folders(repository, branch), required(packages)


def _check_module(root: Path, branch: Branch) -> None:
    """Raise if the module of the network is missing in a package that the repository has."""
    if branch.network is None:
        return
    parts = branch.network.of.module.split(".")
    # A module is a file, or a package: a folder without a suffix.
    is_there = any((root / Path(*parts)).with_suffix(suffix).exists() for suffix in (".py", ""))
    if (root / parts[0]).is_dir() and not is_there:
        what = f"imports {branch.network.of.module}, which is not in the repository"
        raise SubmissionError(what, where=_place(root, branch), hint="add the file, or correct the import")


def _own_folder(repository: Repository, branch: Branch) -> set[str]:
    """Return the files of the package of a network, if it is a folder in which no other team has its network."""
    if branch.network is None:
        return set()
    folder = PurePosixPath(*branch.network.of.module.split(".")[:-1])
    return _files_of_one_team(repository, branch, folder) if len(folder.parts) >= 2 else set()


def _named_folders(repository: Repository, branch: Branch) -> set[str]:
    """Return the files of the folders that the statements of a branch name, such as that of an extension to compile."""
    nodes = (node for one in repository.chain.branches[branch.number] for node in ast.walk(one))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    folders = [PurePosixPath(text) for text in texts if len(text) < 200 and is_inside(text)]
    found = [_files_of_one_team(repository, branch, folder) for folder in folders if folder.parts]
    return set().union(*found)


def _files_of_one_team(repository: Repository, branch: Branch, folder: PurePosixPath) -> set[str]:
    """Return the files of a folder; none if another branch has its network or a checkpoint there."""
    others = [other for number, other in repository.branches.items() if number != branch.number]
    places = [
        PurePosixPath(place)
        for other in others
        if isinstance(other, Branch)
        for place in (*other.checkpoints, *([other.network.of.module.replace(".", "/")] if other.network else []))
    ]
    place = repository.root / folder
    if not place.is_dir() or any(other.is_relative_to(folder) for other in places):
        return set()
    found = survey(place, ignored=lambda name, _relative: name in ("__pycache__", ".git"))
    return {path.relative_to(repository.root).as_posix() for path in found.files}
