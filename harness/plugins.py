"""What packages add to the harness as entry points: listed without an import, loaded by name.

Each kind of extension has one :class:`Registry`. What comes with the harness is declared in its own
``pyproject.toml`` and found in the same way, so a package can add whatever the harness itself has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from harness.errors import HarnessError, UsageError
from harness.suggestions import choice

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Find = Callable[[str], Iterable[EntryPoint]]
"""Returns the entry points of a group."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of an installed package.

    Attributes
    ----------
    name
        The name that users type.
    target
        ``module:object``, not yet imported.
    package
        The distribution that declares it, with its version.
    """

    name: str
    target: str
    package: str


def installed(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group that the packages on ``sys.path`` declare."""
    return _installed(group, tuple(sys.path))


@lru_cache(maxsize=64)
def _installed(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:  # noqa: ARG001
    # Reading the metadata of all packages takes tens of milliseconds; `path` decides what there is to read.
    return tuple(entry_points(group=group))


@dataclass(frozen=True, slots=True)
class Registry(Generic[T_co]):
    """The extensions of one kind, by name.

    Attributes
    ----------
    group
        The entry-point group, such as ``harness.tracks``.
    kind
        What one of them is called in messages, such as ``track``.
    accept
        Returns what an entry point's object stands for; raises TypeError, with the reason, where it is of a wrong
        type.
    error
        The exception for a name that cannot be served.
    find
        Returns the entry points of a group.
    """

    group: str
    kind: str
    accept: Callable[[object], T_co]
    error: type[HarnessError] = UsageError
    find: Find = installed

    def plugins(self) -> list[Plugin]:
        """Return all entry points of the group, by name, without importing any of them."""
        found = (Plugin(point.name, point.value, _package(point)) for point in self.find(self.group))
        return sorted(found, key=lambda plugin: (plugin.name, plugin.package))

    def names(self) -> list[str]:
        """Return the names that there are, sorted."""
        return sorted({point.name for point in self.find(self.group)})

    def get(self, name: str) -> T_co:
        """Import the object called `name`.

        Raises
        ------
        HarnessError
            Of the class `error`: there is none of that name or there are several, it cannot be imported, or it is
            of a wrong type.
        """
        point = self._only(name)
        try:
            return self.accept(point.load())
        except Exception as error:
            raise self.error(
                f"{self.kind} {name!r} of {_package(point)} cannot be loaded ({type(error).__name__}: {error})",
                where=f"{self.group}: {point.value}",
                hint="repair or uninstall that package",
            ) from error

    def faults(self) -> dict[str, str]:
        """Import all of them, and return why each one that cannot be served cannot, by name."""
        found = {}
        for name in self.names():
            try:
                self.get(name)
            except self.error as error:
                found[name] = error.what
        return found

    def _only(self, name: str) -> EntryPoint:
        # A package that is found twice on the search path is no conflict.
        points = {(point.value, _package(point)): point for point in self.find(self.group) if point.name == name}
        if len(points) > 1:
            packages = " and ".join(sorted(package for _, package in points))
            raise self.error(f"{self.kind} {name!r} is declared by {packages}", hint="uninstall one of them")
        if not points:
            raise self.error(f"no {self.kind} is called {name!r}", where=self.group, hint=self.advice(name))
        return next(iter(points.values()))

    def advice(self, name: str, others: Iterable[str] = ()) -> str:
        """Return what a user who typed the unknown `name` can do: the nearest name, and all that there are.

        Parameters
        ----------
        others
            Names that are known besides the entry points.
        """
        own = self.names()
        if not own:
            return (
                f"no entry point of the group {self.group} is installed: install the harness itself "
                "with `python -m pip install -e .` in its checkout"
            )
        return choice(name, sorted({*own, *others}))


def instance_of(kind: type[T]) -> Callable[[object], T]:
    """Return an `accept` that takes objects of a class as they are."""

    def accept(loaded: object) -> T:
        if not isinstance(loaded, kind):
            raise TypeError(f"it is a {type(loaded).__name__}, not a {kind.__name__}")
        return loaded

    return accept


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
