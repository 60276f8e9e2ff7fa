"""Import a submission's factory and call it with the arguments that its signature asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from harness.errors import SubmissionError
from harness.worker.importing import describe, import_symbol, place_of

SCALE_NAMES = ("scale", "upscale", "upscale_factor", "upscaling_factor", "scale_factor", "sr_rate", "sf", "factor", "r")
"""Parameter names that denote the upscaling factor, in order of preference."""
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def build_network(root: Path, name: str, scale: int) -> nn.Module:
    """Call the factory ``name`` (``module:callable`` in the folder ``root``) and return the network for ``scale``.

    Raises
    ------
    SubmissionError
        The code cannot be imported, the factory raises, or its result is not an ``nn.Module``.
    UnsupportedError
        A package that the code imports is not installed.
    """
    factory = import_symbol(root, name)
    if not callable(factory):
        raise SubmissionError(
            f"{name} is a {type(factory).__name__}, not a function", where=str(root), hint="set factory to a callable"
        )
    arguments, keywords = call_for(factory, name, scale)
    try:
        network = factory(*arguments, **keywords)
    except (Exception, SystemExit) as error:
        raise SubmissionError(
            f"{name} raised {describe(error)}",
            where=place_of(error, root) or str(root),
            hint=f"it was called as {_call_text(name, arguments, keywords)}",
        ) from error
    if not isinstance(network, nn.Module):
        raise SubmissionError(
            f"{name} returned a {type(network).__name__}, not a torch.nn.Module",
            where=str(root),
            hint="return the network itself",
        )
    return network


def _call_text(name: str, arguments: tuple[int, ...], keywords: dict[str, int]) -> str:
    inner = [str(value) for value in arguments] + [f"{key}={value}" for key, value in keywords.items()]
    return f"{name.partition(':')[2]}({', '.join(inner)})"


def call_for(factory: Callable[..., Any], name: str, scale: int) -> tuple[tuple[int, ...], dict[str, int]]:
    """Return the positional and keyword arguments to call ``factory`` with, derived from its signature.

    The scale is passed to a parameter whose name is in :data:`SCALE_NAMES`, else to the only required parameter. If
    there is neither, the factory is called without arguments.

    Raises
    ------
    SubmissionError
        The factory requires arguments other than the scale.
    """
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (ValueError, TypeError):  # a builtin without a signature
        return (), {}
    named = next((p for alias in SCALE_NAMES for p in parameters if p.name == alias and p.kind not in _STARRED), None)
    required = [p for p in parameters if p.default is p.empty and p.kind not in _STARRED]
    if named is None and len(required) == 1:
        named = required[0]
    if any(p is not named for p in required):
        raise SubmissionError(
            f"{name} needs the arguments {', '.join(p.name for p in required)}",
            hint="give all but the scale a default: srmodel(scale=2)",
        )
    if named is None:
        return (), {}
    return ((scale,), {}) if named.kind is named.POSITIONAL_ONLY else ((), {named.name: scale})
