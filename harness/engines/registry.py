"""Engines by name: those of the harness, and those of installed packages (entry-point group ``harness.engines``)."""

from __future__ import annotations

from typing import cast

from harness.engines.engine import Engine
from harness.plugins import Registry


def _engine(loaded: object) -> Engine:
    """Return a new engine: an entry point is a class or function without required arguments, or an engine."""
    engine = loaded() if callable(loaded) else loaded
    if not all(hasattr(engine, method) for method in ("devices", "open")):
        raise TypeError(f"it is a {type(engine).__name__} without devices() and open()")
    return cast("Engine", engine)


ENGINES: Registry[Engine] = Registry("harness.engines", "engine", _engine)


def get_engine(name: str) -> Engine:
    """Return a new engine.

    Raises
    ------
    UsageError
        There is no such engine, or it cannot be loaded.
    """
    return ENGINES.get(name)
