"""Let a challenge's script choose a network itself, where its source could not be read or did not suffice."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from harness.errors import SubmissionError
from harness.submissions.challenge.pruning import needed_statements
from harness.submissions.challenge.script import NUMBERS, Chain
from harness.worker.challenge.real_names import called


class _Options(SimpleNamespace):
    """Command line options of the script; those that are not known are None."""

    def __getattr__(self, name: str) -> None:
        return None


def own_network(root: Path, chain: Chain, number: int) -> nn.Module:
    """Execute the part of the script that chooses a network, and return the network.

    That is its function with the options ``args.model_id`` and the device, or, if the chain stands in a function that
    also measures, the statements of the branch.

    Raises
    ------
    SubmissionError
        It raises, or makes no network.
    UnsupportedError
        It imports a package that is not installed.
    """
    result = called(lambda: _executed(root, chain, number), chain.file, root)
    found = result if isinstance(result, list | tuple) else [result]
    network = next((one for one in found if isinstance(one, nn.Module)), None)
    if network is None:
        kinds = ", ".join(type(one).__name__ for one in found) or "nothing"
        what = f"{chain.file} makes no torch.nn.Module for model_id {number}, but {kinds}"
        raise SubmissionError(what, where=chain.file, hint="set the branch's model to a network")
    return network


def _executed(root: Path, chain: Chain, number: int) -> Any:
    module = ModuleType(Path(chain.file).stem)
    module.__file__ = str(root / chain.file)
    names = vars(module)
    options, device = _Options(model_id=number), torch.device("cpu")
    whole = isinstance(chain.function, ast.FunctionDef) and any(
        isinstance(one, ast.Return) and one.value is not None for one in ast.walk(chain.function)
    )
    sys.modules[module.__name__] = module
    previous, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        if whole and isinstance(chain.function, ast.FunctionDef):
            _execute(needed_statements(chain), module.__file__, names)
            return _call(names[chain.function.name], options, device)
        # Names that the statements of a branch may use without defining them.
        names.update(args=options, device=device, model_id=number, os=__import__("os"), torch=torch)
        others = [one for one in needed_statements(chain) if one is not chain.function and not isinstance(one, ast.If)]
        _execute(
            [*(others if chain.function is not chain.tree else []), *chain.branches[number]], module.__file__, names
        )
        return [value for value in names.values() if isinstance(value, nn.Module)][-1:]
    finally:
        sys.dont_write_bytecode = previous


def _execute(statements: list[ast.stmt], file: str, names: dict[str, Any]) -> None:
    code = compile(ast.Module(statements, []), file, "exec")
    exec(code, names)  # noqa: S102  in a worker, as all submitted code


def _call(function: Any, options: _Options, device: torch.device) -> Any:
    """Call ``select_model(args, device)``, or with the number of the model in place of the options."""
    given = []
    for one in inspect.signature(function).parameters.values():
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            is_number = one.name in NUMBERS
            given.append(device if one.name == "device" else options.model_id if is_number else options)
    return function(*given)
