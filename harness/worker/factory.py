"""Import a submission's factory and call it with arguments of the manifest, the signature and the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from harness.errors import SubmissionError
from harness.worker.arguments import Call, Slot, call_for, needs_arguments, toml
from harness.worker.importing import describe, import_symbol, place_of
from harness.worker.obstacles import obstacle


@dataclass(frozen=True, slots=True)
class Factory:
    """The factory of a submission and how it is called.

    Attributes
    ----------
    root
        Folder from which it was imported.
    name
        ``module:callable``.
    function
        Function or class.
    call
        Its arguments. If some are unknown, it cannot be called yet.
    """

    root: Path
    name: str
    function: Callable[..., Any]
    call: Call = field(default_factory=lambda: Call({}))

    def build(self, values: Mapping[Slot, Any] | None = None) -> nn.Module:
        """Call the factory, with other values for some arguments, and return the network.

        Raises
        ------
        SubmissionError
            An argument is unknown, the factory raises, or its result is not an ``nn.Module``.
        UnsupportedError
            The factory imports a package that is not installed, or needs CUDA.
        """
        call = self.call.with_values(values or {})
        if call.unknown:
            raise needs_arguments(self.function, self.name, call)
        arguments, keywords = call.bound(self.function)
        try:
            network = self.function(*arguments, **keywords)
        except (Exception, SystemExit) as error:  # SystemExit is no Exception, and submitted scripts call exit()
            raise obstacle(error, self.root) or SubmissionError(
                f"{self.name} raised {describe(error)}",
                where=place_of(error, self.root) or str(self.root),
                hint=f"it was called as {_call_text(self.name, arguments, keywords)}",
            ) from error
        if not isinstance(network, nn.Module):
            raise SubmissionError(
                f"{self.name} returned a {type(network).__name__}, not a torch.nn.Module",
                where=str(self.root),
                hint="return the network itself",
            )
        return network


def find_factory(
    root: Path, name: str, scale: int, kwargs: Mapping[str, Any] | None = None, white: float = 1.0
) -> Factory:
    """Import the factory ``name`` (``module:callable`` in the folder ``root``) and decide how it is called.

    Raises
    ------
    SubmissionError
        The code cannot be imported, the name is no function or class, or it takes other arguments than the manifest's.
    UnsupportedError
        A package that the code imports is not installed.
    """
    function = import_symbol(root, name)
    if not callable(function):
        raise SubmissionError(
            f"{name} is a {type(function).__name__}, not a function", where=str(root), hint="set factory to a callable"
        )
    return Factory(root, name, function, call_for(function, name, scale, kwargs, white))


def values_text(values: Mapping[Slot, Any]) -> str:
    """Return arguments as one line of text."""
    return ", ".join(f"{'.'.join(slot)} = {toml(value)}" for slot, value in values.items())


def _call_text(name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> str:
    inner = [str(value)[:80] for value in arguments] + [f"{key}={str(value)[:80]}" for key, value in keywords.items()]
    return f"{name.partition(':')[2]}({', '.join(inner)})"
