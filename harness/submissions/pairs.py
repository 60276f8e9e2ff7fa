"""Model files beside checkpoints of the same name, such as ``models/x.py`` and ``model_zoo/x_x4.pth``.

Each pair is a submission. Which class of the file is the network is found out by the worker: the one whose parameters
are those of the checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import ManifestError
from harness.faults import concerns_the_run, submission_error
from harness.submissions.archives import default_cache
from harness.submissions.challenge.extract import extract
from harness.submissions.challenge.imports import needs_of
from harness.submissions.challenge.packages import required
from harness.submissions.manifest import Manifest
from harness.submissions.submission import PROTOCOL_SCALES, BrokenSubmission, Found, Kind, Submission

PREFIX = "harness.paired:"
"""Start of the factory of a pair, before the dotted name of its module."""

_CODE_FOLDERS = ("", "models", "model", "archs", "arch", "networks")
_WEIGHT_FOLDERS = (
    "model_zoo",
    "weights",
    "checkpoints",
    "checkpoint",
    "ckpts",
    "ckpt",
    "pretrained",
    "pretrained_models",
)
CHECKPOINT_SUFFIXES = frozenset({".pth", ".pt", ".ckpt", ".safetensors"})
"""Suffixes of files that are taken for checkpoints, in lower case."""
# A name that ends with a scale, such as net_x4 or net-4x.
_SCALE = re.compile(r"(.+?)[_-](?:x(\d{1,2})|(\d{1,2})x)$", re.IGNORECASE)
# Files of a folder that are examined.
_MAX_LISTED = 5000


@dataclass(frozen=True)
class Pair:
    """A model file with its checkpoints.

    Attributes
    ----------
    module
        Path of the file, relative to the folder.
    weights
        Checkpoints by scale, such as ``x4``; under an empty key the one that does not say its scale.
    """

    module: str
    weights: dict[str, str]


def find_pairs(root: Path) -> list[Pair]:
    """Return the pairs of a folder, sorted by the names of the model files.

    Model files lie at its top or in a folder such as ``models``, checkpoints beside them or in one like ``model_zoo``.
    """
    checkpoints = {place: list(_checkpoints(root, place)) for place in ("", *_CODE_FOLDERS[1:], *_WEIGHT_FOLDERS)}
    found = []
    for folder in _CODE_FOLDERS:
        # Checkpoints beside the code have precedence over those in folders such as model_zoo.
        near = [one for place in (folder, *_WEIGHT_FOLDERS) for one in checkpoints[place]]
        for path in _listed(root, folder):
            if path.suffix == ".py" and path.stem.isidentifier() and not path.stem.startswith("__"):
                weights: dict[str, str] = {}
                for file, name, scale in near:
                    if _folded(name) == _folded(path.stem):
                        weights.setdefault(scale, file)
                if weights:
                    found.append(Pair(path.as_posix(), weights))
    return found


def unpaired(root: Path) -> list[str]:
    """Return the checkpoints of a folder of pairs that belong to none of them, at its top and in the usual places."""
    taken = {file for pair in find_pairs(root) for file in pair.weights.values()}
    places = dict.fromkeys((*_CODE_FOLDERS, *_WEIGHT_FOLDERS))
    return sorted({file for place in places for file, _, _ in _checkpoints(root, place)} - taken)


def submissions_of_pairs(root: Path, kind: Kind, cache_dir: Path | None = None) -> list[Found]:
    """Return one submission for each pair of a folder.

    Parameters
    ----------
    root
        The folder.
    kind
        Kind of the returned submissions.
    cache_dir
        Folder to which the files of each pair are copied; the user's cache folder by default.
    """
    return [_found(root, pair, kind, cache_dir or default_cache()) for pair in find_pairs(root)]


def module_of(factory: str) -> str:
    """Return the dotted name of the module from the factory of a pair."""
    return factory.removeprefix(PREFIX).partition(":")[0]


def _checkpoints(root: Path, folder: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, name and scale of the checkpoints in a folder; the scale is empty if the name has none."""
    for path in _listed(root, folder):
        if path.suffix.lower() in CHECKPOINT_SUFFIXES:
            match = _SCALE.fullmatch(path.stem)
            scale = (match[2] or match[3]) if match else ""
            named = match is not None and 1 <= int(scale) <= 16
            yield path.as_posix(), (match[1] if match and named else path.stem), f"x{int(scale)}" if named else ""


def _listed(root: Path, folder: str) -> list[PurePosixPath]:
    try:
        names = sorted(path.name for path in (root / folder).iterdir() if path.is_file())
    except OSError:
        return []
    return [PurePosixPath(folder, name) for name in names[:_MAX_LISTED]]


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _found(root: Path, pair: Pair, kind: Kind, cache: Path) -> Found:
    name = PurePosixPath(pair.module).stem
    try:
        return _submission(root, pair, name, kind, cache)
    except Exception as error:
        if concerns_the_run(error):
            raise
        return BrokenSubmission(name, root / pair.module, submission_error(error, str(root / pair.module)), kind=kind)


def _submission(root: Path, pair: Pair, name: str, kind: Kind, cache: Path) -> Submission:
    module = ".".join(PurePosixPath(pair.module).with_suffix("").parts)
    if not all(part.isidentifier() for part in module.split(".")):
        raise ManifestError(f"{pair.module} cannot be imported by its name", where=str(root), hint="rename it")
    needs = needs_of(root, [module])
    weights = {key: path for key, path in pair.weights.items() if key} or {
        f"x{scale}": pair.weights[""] for scale in PROTOCOL_SCALES
    }
    manifest = Manifest(
        name=name,
        scales=sorted(int(key[1:]) for key in weights),
        factory=f"{PREFIX}{module}",
        requires=required(needs.packages),
        weights=weights,
    )
    # Without a submission.toml: value range and scale are found out.
    folder = extract(root, {*needs.files, *weights.values()}, None, cache, name)
    return Submission(name, "", kind, folder, manifest, "folder")
