"""Find the checkpoint of a network for which nobody names one: no manifest, and no code of the submission reads one.

A network whose parameters are drawn at random would be measured like a trained one otherwise.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from harness.errors import CheckpointError, SubmissionError
from harness.plain_files import survey
from harness.submissions.pairs import CHECKPOINT_SUFFIXES
from harness.worker.factory import Factory
from harness.worker.filling import Reading, fill
from harness.worker.forms import fill_other_form

# Suffixes of other files that hold parameters.
_FILES_OF_WEIGHTS = CHECKPOINT_SUFFIXES | {".bin", ".h5", ".mat", ".npy", ".npz", ".onnx", ".pickle", ".pkl", ".pt2"}
_LEFT_OUT = frozenset({"results", "__pycache__", "__MACOSX"})
_MAX_NAMED = 4
_MAX_NAME = 60


@dataclass(frozen=True, slots=True)
class Unnamed:
    """What is known of a submission that names no checkpoint.

    Attributes
    ----------
    root
        Its folder.
    scale
        Upscaling factor.
    has_manifest
        Whether it has a manifest, in which a line can name the checkpoint.
    hook
        Name of the author's method that converts the training form into the inference form.
    opened
        Files that were opened while the network was built.
    """

    root: Path
    scale: int
    has_manifest: bool
    hook: str | None
    opened: Collection[Path]


def fill_unnamed(network: nn.Module, factory: Factory, reading: Reading, known: Unnamed) -> tuple[nn.Module, list[str]]:
    """Return a network with the weights of the only checkpoint in its folder if its own are random, with remarks.

    The network stays as it is if no checkpoint fits, or if it is not known which one it is; a remark says so then.

    Parameters
    ----------
    network
        What the factory returned.
    factory
        How it was built.
    reading
        How a checkpoint is read.
    known
        The submission.
    """
    reads_itself = any(path.suffix.lower() in _FILES_OF_WEIGHTS for path in known.opened)
    if reads_itself or next(network.parameters(), None) is None:
        return network, []
    again = _built_again(factory)
    if again is None or not _differ(network, again):
        return network, []
    candidates = checkpoints_in(known.root)
    if len(candidates) != 1:
        return network, [_not_loaded(candidates, known)]
    (name,) = candidates
    try:
        filled, notes = _filled(again, factory, known.root / name, reading, known.hook)
    except CheckpointError as error:
        return network, [_not_loaded(candidates, known, error.what)]
    said = (
        f"loaded {_shown(name)}, the only checkpoint in its folder, because nothing names one: {_advice(name, known)}"
    )
    return filled, [said, *notes]


def checkpoints_in(root: Path) -> list[str]:
    """Return the relative paths of the checkpoints in a folder, without hidden files and those in ``results``."""

    def ignored(name: str, _relative: str) -> bool:
        return name.startswith(".") or name in _LEFT_OUT

    try:
        files = survey(root, ignored=ignored, links_may_leave=True).files
    except (SubmissionError, OSError):
        return []
    return [file.relative_to(root).as_posix() for file in files if file.suffix.lower() in CHECKPOINT_SUFFIXES]


def _built_again(factory: Factory) -> nn.Module | None:
    # The generator goes on from where the first network left it, and returns there.
    with torch.random.fork_rng(devices=[]):
        try:
            return factory.build()
        except SubmissionError:  # a factory that can be called once only
            return None


def _differ(first: nn.Module, second: nn.Module) -> bool:
    """Return whether parameters of two networks of one factory differ, so that they were drawn at random."""
    own, other = dict(first.named_parameters()), dict(second.named_parameters())
    if own.keys() != other.keys():
        return False
    try:
        return any(not torch.equal(one.detach().cpu(), other[name].detach().cpu()) for name, one in own.items())
    except Exception:  # noqa: BLE001 -- parameters without values, or of submitted classes
        return False


def _filled(
    network: nn.Module, factory: Factory, path: Path, reading: Reading, hook: str | None
) -> tuple[nn.Module, list[str]]:
    try:
        return network, fill(network, path, reading, loads_itself=False)
    except CheckpointError:
        other = fill_other_form(network, factory, path, reading, hook)
        if other is None:
            raise
        return other


def _not_loaded(candidates: list[str], known: Unnamed, reason: str = "") -> str:
    if not candidates:
        add = "or set needs_weights = true" if known.has_manifest else "as checkpoint.pth"
        return f"no checkpoint was loaded, its parameters are random, and its folder has none: add one, {add}"
    names = ", ".join(map(_shown, candidates[:_MAX_NAMED]))
    more = f" and {len(candidates) - _MAX_NAMED} more" if len(candidates) > _MAX_NAMED else ""
    why = f" ({reason[:120]})" if reason else ""
    advice = _advice(candidates[0] if len(candidates) == 1 else "", known)
    return f"no checkpoint was loaded, its parameters are random; there is {names}{more}{why}: {advice}"


def _advice(name: str, known: Unnamed) -> str:
    """Return what to do so that a checkpoint is loaded; an empty name stands for one of several."""
    line = f'x{known.scale} = "{_shown(name) or "FILE"}" under [weights] in submission.toml'
    return f"write {line}" if known.has_manifest else f"call {'it' if name else 'one'} checkpoint.pth, or write {line}"


def _shown(name: str) -> str:
    return ascii(name)[1:-1][:_MAX_NAME]
