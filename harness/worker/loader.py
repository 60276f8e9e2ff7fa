"""Load a submission's network. Runs in the worker, because it executes submitted code."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.errors import CheckpointError, SubmissionError, UnsupportedError
from harness.results.record import Colour
from harness.submissions import requirements
from harness.submissions.challenge.repository import PREFIX as BRANCH
from harness.submissions.loaders import LOADERS, PREFIX
from harness.submissions.manifest import FILE_NAME, Manifest, manifest_file, read_manifest
from harness.submissions.pairs import PREFIX as PAIRED
from harness.submissions.pairs import module_of
from harness.worker.arguments import hint_of_keywords
from harness.worker.challenge import build_branch
from harness.worker.challenge.paired import build_pair
from harness.worker.contract import scale_of
from harness.worker.factory import find_factory
from harness.worker.filling import Reading, fill
from harness.worker.forms import build_filled, fill_other_form
from harness.worker.importing import describe, place_of
from harness.worker.opened_files import recorded
from harness.worker.presenting import presented
from harness.worker.process_state import preserved, without_cuda
from harness.worker.unnamed_weights import Unnamed, fill_unnamed


@dataclass(frozen=True, slots=True)
class Declared:
    """What a submission declares in addition to the arguments of :func:`load`.

    The controller sends it, because the manifest is hidden from a sandboxed worker.
    """

    has_manifest: bool
    requires: Sequence[str] = ()
    """Requirement strings of the manifest."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the factory."""
    folder: str = ""
    """Folder below the submission's from which modules are imported."""
    output: int | str | None = None
    """Which element of the network's output is the image."""
    colour: Colour | None = None
    """Colour space of the network."""
    value_range: float = 1.0
    """Value of white."""
    hook: str | None = None
    """Name of the author's reparameterization method."""
    alternatives: Sequence[str] = ()
    """Further factories, tried if the checkpoint does not fit the network."""
    lacks_weights: bool = False
    """Whether a network without weights is known to be untrained, because the manifest has weights for other scales."""

    @classmethod
    def read(cls, root: Path) -> Declared:
        """Return what the manifest in the folder `root` declares."""
        return cls(has_manifest=False) if manifest_file(root) is None else cls.of(read_manifest(root))

    @classmethod
    def of(cls, manifest: Manifest) -> Declared:
        """Return what a manifest declares."""
        return cls(
            True, manifest.requires, manifest.kwargs, manifest.folder, manifest.output, manifest.colour,
            manifest.value_range, manifest.reparameterize, manifest.alternatives,
            manifest.needs_weights or manifest.weights is not None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network that is ready to run, with remarks about how it was loaded."""

    network: nn.Module
    notes: list[str] = field(default_factory=list)
    takes_luma: bool = False
    """Whether the network upscales Y alone."""


def load_network(root: Path, factory: str, scale: int, weights: Path | None) -> nn.Module:
    """Load the network of a submission: float32, on the CPU, in eval mode, without gradients.

    Parameters
    ----------
    root
        Folder of the submission.
    factory
        ``module:callable``, called as ``f()`` or ``f(scale)`` depending on its signature.
    scale
        Upscaling factor.
    weights
        Checkpoint, relative to ``root`` or absolute; None to keep the factory's initialization.

    Raises
    ------
    SubmissionError
        The code cannot be imported, the factory raises, or its result is not an ``nn.Module``.
    CheckpointError
        The weights are unreadable or do not match the network.
    UnsupportedError
        A package that the code imports is not installed.
    """
    return load(root, factory, scale, weights).network


def load(
    root: Path,
    factory: str,
    scale: int,
    weights: Path | None,
    reading: Reading | None = None,
    declared: Declared | None = None,
) -> Loaded:
    """Load a network as :func:`load_network` does, and return it with remarks; `declared` is read from the folder."""
    root = root.resolve()
    declared, reading = declared or Declared.read(root), reading or Reading()
    is_branch = factory.startswith(BRANCH)
    # First: the message is clearer than that of a failing import.
    notes = [] if is_branch else _check_requirements(root, factory, declared)
    code = root / declared.folder
    with preserved(code, notes), without_cuda(notes):
        if is_branch:
            network, remarks = build_branch(root, factory, reading, declared.requires)
            notes += remarks
        elif factory.startswith(PAIRED) and weights is not None:
            network, remarks = build_pair(root, factory, scale, root / weights, reading)
            notes += remarks
        elif factory.startswith(PREFIX):
            network = _open_file(
                factory.removeprefix(PREFIX), root, scale, weights, notes, trust_pickle=reading.trust_pickle
            )
        else:
            path = None if weights is None else root / weights
            network = _first_that_fits(code, [factory, *declared.alternatives], scale, path, reading, declared, notes)
        _settle(network, code, notes)
    # Apart from the above: a setting that the code changes and a first call changes back was changed all the same.
    with preserved(code, notes), without_cuda(notes):
        network, colour, remarks = presented(network, scale, declared)
        notes += remarks
        if not declared.has_manifest:
            _check_scale(network, scale, root)
    return Loaded(network, notes, takes_luma=colour == "y")


def _first_that_fits(
    root: Path,
    factories: Sequence[str],
    scale: int,
    weights: Path | None,
    reading: Reading,
    declared: Declared,
    notes: list[str],
) -> nn.Module:
    """Return the network of the first factory whose network the weights fit."""
    failure: SubmissionError | None = None
    for name in factories:
        remarks: list[str] = []
        try:
            network = _built(root, name, scale, weights, reading, declared, remarks)
        except SubmissionError as error:
            failure = failure or error  # of the factory that is named first
            continue
        if failure is not None:
            notes.append(f"built by {name}, because {_why_not(factories[0], failure)}")
        notes += remarks
        return network
    raise failure or SubmissionError("names no factory", where=str(root))


def _why_not(factory: str, failure: SubmissionError) -> str:
    if isinstance(failure, CheckpointError):
        return f"the weights do not fit {factory}"
    return failure.what if factory in failure.what else f"{factory} cannot be used: {failure.what}"


def _built(
    root: Path, name: str, scale: int, weights: Path | None, reading: Reading, declared: Declared, notes: list[str]
) -> nn.Module:
    """Build the network and fill it with its weights, or another form of it if only that one fits them."""
    with recorded() as opened:
        factory = find_factory(root, name, scale, declared.kwargs, declared.value_range)
        network, remarks = build_filled(factory, weights, reading)
    notes += remarks
    if weights is None:
        if not declared.lacks_weights:
            home = root.parents[len(Path(declared.folder).parts) - 1] if declared.folder else root
            known = Unnamed(home, scale, declared.has_manifest, declared.hook, opened)
            network, remarks = fill_unnamed(network, factory, reading, known)
            notes += remarks
        return network
    # In the challenges' layout, which has no manifest, the factory loads its checkpoint itself.
    itself = weights in opened and not declared.has_manifest
    try:
        notes += fill(network, weights, reading, loads_itself=itself)
    except CheckpointError as error:
        other = fill_other_form(network, factory, weights, reading, declared.hook)
        if other is None:
            error.hint = hint_of_keywords(factory.function, factory.call) or error.hint
            raise
        network, remarks = other
        notes += remarks
    return network


def _open_file(
    name: str, root: Path, scale: int, weights: Path | None, notes: list[str], *, trust_pickle: bool
) -> nn.Module:
    if weights is None:
        raise SubmissionError(
            f"{PREFIX}{name} needs a file for x{scale}", where=str(root), hint=f"name it under [weights] as x{scale}"
        )
    loader = LOADERS.get(name)
    try:
        network: object = loader(root / weights, scale)
    except SubmissionError:
        if not trust_pickle or "trust_pickle" not in inspect.signature(loader).parameters:
            raise
        network = loader(root / weights, scale, trust_pickle=True)  # type: ignore[call-arg]
        notes.append(f"reading {weights.name} executed code in it (--trust-pickle)")
    if not isinstance(network, nn.Module):
        raise SubmissionError(
            f"loader {name} returned a {type(network).__name__}, not a torch.nn.Module",
            where=str(root / weights),
            hint="repair or uninstall its package",
        )
    return network


def _check_requirements(root: Path, factory: str, declared: Declared) -> list[str]:
    """Raise if a package that the manifest requires is missing; return a remark for missing ``requirements.txt`` ones.

    The latter are not errors, because the file is often a dump of a whole environment.
    """
    if factory.startswith(PAIRED):  # what the model file imports, of which no manifest says anything
        requirements.check_imports(declared.requires, f"{module_of(factory).replace('.', '/')}.py")
    else:
        requirements.check(list(declared.requires), str(root / FILE_NAME))
    lacking = requirements.unmet(requirements.read_requirements(root))
    shown = f"{', '.join(lacking[:5])}{' ...' if len(lacking) > 5 else ''}"
    return [f"{requirements.FILE_NAME} asks for {shown}; measured without"] if lacking else []


def _check_scale(network: nn.Module, scale: int, root: Path) -> None:
    """Raise if a network without manifest upscales by another factor; the network is the only source of its scale."""
    actual = scale_of(network)
    if actual is not None and actual != scale:
        raise UnsupportedError(
            f"upscales by {actual}, not by {scale}", where=str(root), hint=f"run it at scale {actual}"
        )


def _settle(network: nn.Module, root: Path, notes: list[str]) -> None:
    """Move the network to the CPU, float32 and eval mode, and disable gradients."""
    try:
        network.cpu()
        kinds = {p.dtype for p in (*network.parameters(), *network.buffers()) if p.is_floating_point()}
        if kinds - {torch.float32}:  # precisions are applied later, from the same float32 network for all submissions
            notes.append(f"parameters were stored as {', '.join(sorted(map(str, kinds)))}; measured from float32")
            network.float()
        network.eval()
        for parameter in network.parameters():  # ScriptModules have no requires_grad_()
            parameter.requires_grad_(False)
    except (Exception, SystemExit) as error:
        raise SubmissionError(
            f"eval() raised {describe(error)}",
            where=place_of(error, root) or str(root),
            hint="fix the overridden method",
        ) from error
    # An overridden train() may leave dropout or batch normalization in training mode.
    training = [module for module in network.modules() if module.training]
    if training:
        notes.append(f"{len(training)} modules stayed in training mode after eval(); switched")
        for module in training:
            module.training = False
