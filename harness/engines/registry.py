"""Engines by name: the local one, and those of installed packages (entry-point group ``harness.engines``)."""

from __future__ import annotations

from harness.engines.engine import Engine
from harness.engines.local import LocalEngine
from harness.errors import UsageError
from harness.plugins import list_plugins, load_plugin

_GROUP = "harness.engines"


def get_engine(name: str) -> Engine:
    """Return a new engine.

    Parameters
    ----------
    name
        ``local``, or the name of an entry point that is a class or function without required arguments.

    Raises
    ------
    UsageError
        There is no such engine, or it cannot be loaded.
    """
    if name == LocalEngine.name:
        return LocalEngine()
    installed = [plugin.name for plugin in list_plugins(_GROUP)]
    if name not in installed:
        known = ", ".join([LocalEngine.name, *installed])
        raise UsageError(f"there is no engine {name!r}", hint=f"choose one of: {known}")
    factory = load_plugin(_GROUP, name)
    engine = factory() if callable(factory) else factory
    if not hasattr(engine, "open"):
        raise UsageError(f"engine {name!r} is a {type(engine).__name__} without open()", where=_GROUP)
    return engine  # type: ignore[return-value]  # a plug-in's class is known at run time only
