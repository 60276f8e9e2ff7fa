"""What an expression of a challenge's script stands for, as far as it can be told without executing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Known:
    """A literal, or what literals and paths compute to."""

    value: Any


@dataclass(frozen=True)
class ImportedModule:
    """A module, by its dotted name."""

    name: str


@dataclass(frozen=True)
class Symbol:
    """A class, a function or another attribute of a module."""

    module: str
    attribute: str

    @property
    def dotted(self) -> str:
        """The qualified name, such as ``os.path.join``."""
        return f"{self.module}.{self.attribute}"


@dataclass(frozen=True)
class Made:
    """The result of a call of something that the repository defines: a network, or an argument of one."""

    of: Symbol
    arguments: tuple[Value, ...] = ()
    keywords: tuple[tuple[str, Value], ...] = ()

    @property
    def is_clear(self) -> bool:
        """Whether all arguments are known."""
        given = (*self.arguments, *(value for _, value in self.keywords))
        return all(not isinstance(one, Unclear) and (not isinstance(one, Made) or one.is_clear) for one in given)


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes
    ----------
    path
        The file, relative to the repository.
    keys
        Keys that were applied to its content; None where the script decides them when it runs.
    """

    path: str
    keys: tuple[str, ...] | None = ()


@dataclass(frozen=True)
class Unclear:
    """Anything else, with its source for messages."""

    text: str = ""


Value = Known | ImportedModule | Symbol | Made | Checkpoint | Unclear


@dataclass(frozen=True)
class Load:
    """``network.load_state_dict(checkpoint, strict=...)``."""

    checkpoint: Checkpoint
    strict: bool


@dataclass(frozen=True)
class CallMethod:
    """``network.method(...)``; `replaces` if its result takes the place of the network."""

    method: str
    arguments: tuple[Value, ...]
    keywords: tuple[tuple[str, Value], ...]
    replaces: bool


@dataclass(frozen=True)
class CallOnModules:
    """A call of a method without arguments of every module of the network that has it."""

    method: str


Step = Load | CallMethod | CallOnModules
