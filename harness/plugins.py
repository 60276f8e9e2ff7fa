"""What other packages add to the harness: entry points, listed without importing, loaded one by one on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from harness.errors import UsageError

T = TypeVar("T")

GROUPS = (
    "harness.submissions",
    "harness.loaders",
    "harness.tracks",
    "harness.metrics",
    "harness.datasets",
    "harness.engines",
)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of an installed package.

    Attributes
    ----------
    group
        One of `GROUPS`.
    name
        The name that users type.
    target
        ``module:object``, not yet imported.
    package
        The distribution that declares it, with its version.
    """

    group: str
    name: str
    target: str
    package: str


def list_plugins(group: str) -> list[Plugin]:
    """Return the plugins of a group, by name, without importing any of them."""
    return sorted(
        (Plugin(group, point.name, point.value, _package(point)) for point in entry_points(group=group)),
        key=lambda plugin: (plugin.name, plugin.package),
    )


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


def load_plugin(group: str, name: str) -> object:
    """Import the object behind an entry point.

    Raises
    ------
    UsageError
        There is no such plugin, or it cannot be imported.
    """
    for point in entry_points(group=group):
        if point.name == name:
            return _load(point)
    raise UsageError(f"no plugin {name!r} in group {group}", hint="harness plugins lists what is installed")


def _load(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:
        raise UsageError(
            f"plugin {point.name!r} of {_package(point)} cannot be imported ({type(error).__name__}: {error})",
            where=point.value,
            hint="repair or uninstall that package",
        ) from error


def choose(kind: type[T], group: str, name: str, builtin: Mapping[str, T]) -> T:
    """Return the built-in object of that name, else the plugin's.

    Raises
    ------
    UsageError
        There is neither, or the plugin is not a `kind`.
    """
    if name in builtin:
        return builtin[name]
    plugins = [plugin.name for plugin in list_plugins(group)]
    if name not in plugins:
        known = ", ".join(sorted({*builtin, *plugins}))
        raise UsageError(f"no {kind.__name__.lower()} is called {name!r}", hint=f"choose one of: {known}")
    loaded = load_plugin(group, name)
    if not isinstance(loaded, kind):
        raise UsageError(f"plugin {name!r} is a {type(loaded).__name__}, not a {kind.__name__}", where=group)
    return loaded
