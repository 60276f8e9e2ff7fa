"""Find the class to which a checkpoint belongs, by the names of its tensors and by the names of both files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torch import Tensor

from harness.errors import SubmissionError
from harness.submissions.checkpoint import read_state_dict
from harness.submissions.proposal.classes import NetworkClass

SCALES = (2, 3, 4, 8)
SAID = re.compile(
    r"(?i:(?<![a-z0-9])x([2348])(?![0-9])|(?<![0-9])([2348])x(?![a-z0-9]))"
    r"|(?<=[A-Z])x([2348])(?![0-9a-z])|(?<=[a-z])X([2348])(?![0-9A-Z])"
)
"""A scale in the name of a file: a word of its own such as x2 or 4x, or set off by its case, as in EDSRx2 and netX4."""
_MOST_LEVELS = 2  # of names of wrappers that are removed from the names of tensors
# Of the upscaled RGB image.
_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Match:
    """What is known about a checkpoint.

    Attributes
    ----------
    file
        Its path, relative to the repository.
    classes
        Classes that it fits, the most likely one first.
    scale
        Upscaling factor; None if it is not known.
    problem
        Why it could not be read, and how to change that; empty if it was.
    """

    file: str
    classes: tuple[NetworkClass, ...] = ()
    scale: int | None = None
    problem: str = ""


def match(root: Path, file: str, classes: Sequence[NetworkClass]) -> Match:
    """Return the classes that a checkpoint fits, and its scale."""
    try:
        state = read_state_dict(root / file)
    except SubmissionError as error:
        return Match(file, problem=f"{error.what} ({error.hint})" if error.hint else error.what)
    fitting = _fitting(state, classes)
    inner = {name for one in fitting for name in one.used}
    # A block that has all these names as well is not the network that contains it.
    whole = [one for one in fitting if one.name not in inner or _uses_itself_only(one, fitting)]
    ordered = sorted(whole or fitting, key=lambda one: _distance(file, one, state), reverse=True)
    return Match(file, tuple(ordered), _scale(file, state))


def _uses_itself_only(one: NetworkClass, fitting: Sequence[NetworkClass]) -> bool:
    return not any(one.name in other.used for other in fitting if other is not one)


def _fitting(state: Mapping[str, Tensor], classes: Sequence[NetworkClass]) -> list[NetworkClass]:
    """Return the classes whose attributes hold all names of a state dict, without a wrapper's name if needed."""
    for _ in range(_MOST_LEVELS + 1):
        names = {key.partition(".")[0] for key in state}
        fitting = [one for one in classes if one.has_forward and _holds(one, names)]
        # One name in front of all others is that of a wrapper, such as DataParallel's ``module``.
        if fitting or len(names) != 1:
            return fitting
        state = {key.partition(".")[2]: tensor for key, tensor in state.items()}
    return []


def _holds(one: NetworkClass, names: Collection[str]) -> bool:
    missing = set(names) - one.attributes
    # Names that are only made when the class is built, such as those of a loop, are not in its source.
    return not missing or (one.is_open and (len(missing) < len(names) or all(name.isdigit() for name in names)))


def _distance(file: str, one: NetworkClass, state: Mapping[str, Tensor]) -> tuple[float, float, float]:
    """Return how near a class is to a checkpoint; the largest is the nearest."""
    names = {key.partition(".")[0] for key in state}
    here, there = _words(file), _words(f"{one.file}/{one.name}")
    numbers = {word for word in here & there if word.isdigit() and len(word) > 1}
    likeness = difflib.SequenceMatcher(None, PurePosixPath(file).stem.lower(), one.name.lower()).ratio()
    # A class with many attributes holds the names of many checkpoints: the tighter one is nearer.
    surplus = len(names & one.attributes) / max(1, len(one.attributes))
    is_named = _squeezed(one.name) in _squeezed(PurePosixPath(file).stem)
    # Common words, of which numbers count twice, less half of the words of the class that the file does not have.
    agreement = len(here & there) + len(numbers) - (0 if is_named else len(_words(one.name) - here) / 2)
    return agreement, likeness, surplus


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _words(path: str) -> frozenset[str]:
    """Return the words of a path: letters and numbers apart, upper case as a boundary."""
    # Without leading zeros, so that 04 and 4 are one word.
    return frozenset(word.lower().lstrip("0") or "0" for word in re.findall(r"[A-Z]*[a-z]+|[A-Z]+|\d+", path))


def _scale(file: str, state: Mapping[str, Tensor]) -> int | None:
    """Return the scale that the name of the file says, else the one that its last convolution has channels for."""
    said = {int(one[one.lastindex or 0]) for one in SAID.finditer(file)}
    if len(said) == 1:
        return said.pop()
    # The last convolution before a pixel shuffle has 3 * scale^2 output channels.
    kernels = [tensor for tensor in state.values() if tensor.ndim == 4]
    channels = kernels[-1].shape[0] if kernels else 0
    return next((scale for scale in SCALES if channels == _CHANNELS * scale**2), None)
