"""Build the network of a branch of a challenge's script from what its source says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from harness.errors import SubmissionError, UnsupportedError
from harness.submissions.challenge.repository import number_of
from harness.submissions.challenge.script import SCRIPT, Branch, Chain, find_chain
from harness.submissions.challenge.values import (
    CallMethod,
    ImportedModule,
    Known,
    Load,
    Made,
    Step,
    Symbol,
    Value,
)
from harness.submissions.requirements import check_imports
from harness.worker.challenge.own_code import own_network
from harness.worker.challenge.real_names import called, import_module, symbol, use_repository
from harness.worker.challenge.weights import NothingLoadedError, load
from harness.worker.filling import Reading


def build_branch(root: Path, factory: str, reading: Reading, requires: Sequence[str]) -> tuple[nn.Module, list[str]]:
    """Return the network of a branch with its weights, and remarks on how it was built.

    Parameters
    ----------
    root
        Folder with the script and the files that the branch uses. It must be the working directory.
    factory
        Names the branch, see :func:`harness.submissions.challenge.repository.factory_of`.
    reading
        How checkpoints are read.
    requires
        Distributions that the branch imports packages of.

    Raises
    ------
    SubmissionError
        The script has no such branch, its code raises, or its weights do not fit.
    UnsupportedError
        A package is not installed.
    """
    check_imports(requires, SCRIPT)
    chain, number = find_chain(root), number_of(factory)
    if chain is None or number not in chain.branches:
        raise SubmissionError(f"has no model_id {number}", where=SCRIPT, hint="add a branch, or submission.toml")
    branch = chain.read(number)
    use_repository(root)
    if not branch.is_clear:
        why = f"could not be read: {branch.unclear[0]}" if branch.unclear else "does not say how the network is made"
        return _with_own_code(root, chain, number, why), list(_remarks(branch))
    notes: list[str] = []
    try:
        network = _from_source(root, branch, reading, notes)
    except (UnsupportedError, NothingLoadedError):
        raise
    except SubmissionError as error:
        try:
            network = own_network(root, chain, number)
        except SubmissionError:
            raise error from None
        # Remarks of the first attempt do not apply to this network.
        notes = [f"{error.what[:300]}; the network is the one that the script itself makes"]
    return network, [*notes, *_remarks(branch)]


def _with_own_code(root: Path, chain: Chain, number: int, why: str) -> nn.Module:
    try:
        return own_network(root, chain, number)
    except UnsupportedError:
        raise
    except SubmissionError as error:
        raise SubmissionError(f"{error.what} (the branch {why})", where=error.where, hint=error.hint) from error


def _from_source(root: Path, branch: Branch, reading: Reading, notes: list[str]) -> nn.Module:
    assert branch.network is not None
    network = _value(branch.network, root)
    if not isinstance(network, nn.Module):
        what = f"{branch.network.of.attribute} made a {type(network).__name__}, not a torch.nn.Module"
        raise SubmissionError(what, where=SCRIPT, hint="set the branch's model to a network")
    for step in branch.steps:
        network = _after(step, network, root, reading, notes)
    return network


def _after(step: Step, network: nn.Module, root: Path, reading: Reading, notes: list[str]) -> nn.Module:
    """Return the network after a step of its branch."""
    if isinstance(step, Load):
        load(network, step, root, reading, notes)
        return network
    if isinstance(step, CallMethod):
        arguments, keywords = _arguments(step.arguments, step.keywords, root)
        what = f"{type(network).__name__}.{step.method}()"
        result = called(lambda: getattr(network, step.method)(*arguments, **keywords), what, root)
        notes.append(f"the script calls {step.method}() of the network, which was done")
        return result if step.replaces and isinstance(result, nn.Module) else network
    modules = [module for module in network.modules() if callable(getattr(module, step.method, None))]
    for module in modules:
        called(getattr(module, step.method), f"{type(module).__name__}.{step.method}()", root)
    if modules:
        notes.append(f"the script calls {step.method}() of {len(modules)} modules, which was done")
    return network


def _value(value: Value, root: Path) -> Any:
    """Return the object that a value of the script denotes."""
    match value:
        case Known(value=known):
            return known
        case Symbol():
            return symbol(value, root)
        case ImportedModule(name=name):
            return import_module(name, root)
        case Made(of=of, arguments=given, keywords=named):
            factory = symbol(of, root)
            arguments, keywords = _arguments(given, named, root)
            return called(partial(factory, *arguments, **keywords), of.attribute, root)
        case _:
            raise SubmissionError(f"{value} is not known before the script runs", where=SCRIPT, hint="write a literal")


def _arguments(
    given: Sequence[Value], named: Sequence[tuple[str, Value]], root: Path
) -> tuple[list[Any], dict[str, Any]]:
    return [_value(one, root) for one in given], {name: _value(one, root) for name, one in named}


def _remarks(branch: Branch) -> Iterator[str]:
    if branch.warmups:
        yield f"left out of the script, because it only warms the network up: {'; '.join(branch.warmups)[:200]}"
    if branch.tile is not None:
        yield f"the script upscales in tiles of {branch.tile} x {branch.tile}; measured on whole images"
