"""Engines by name: those of the harness, and those of installed packages (entry-point group ``harness.engines``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from harness.engines.engine import Engine
from harness.errors import UsageError
from harness.plugins import Registry

# Of `harness.engines.engine.Engine`. A run needs the last ones at its end, when everything has been measured.
_MEMBERS = ("name", "shares_files", "devices", "executor", "share", "on_site", "open", "disconnect")


def _engine(loaded: object) -> Engine:
    """Return a new engine: an entry point is a class or function without required arguments, or an engine."""
    engine = loaded() if callable(loaded) else loaded
    lacking = [member for member in _MEMBERS if not hasattr(engine, member)]
    if lacking:
        raise TypeError(f"it is a {type(engine).__name__} without {', '.join(lacking)}")
    return cast("Engine", engine)


ENGINES: Registry[Engine] = Registry("harness.engines", "engine", _engine)


def get_engine(name: str, address: str | None = None) -> Engine:
    """Return a new engine.

    Parameters
    ----------
    name
        Name of the engine.
    address
        Of its cluster; None for the engine's default.

    Raises
    ------
    UsageError
        There is no such engine, it cannot be loaded, or it has no cluster.
    """
    engine = ENGINES.get(name)
    if address is not None:
        # Not part of the protocol `Engine`, because most engines have no address.
        connect = getattr(engine, "connect", None)
        if connect is None:
            hint = "choose one that has, such as --engine ray"
            raise UsageError(f"--address: engine {name} has no cluster", hint=hint)
        connect(address)
    return engine


@contextmanager
def connected(engine: Engine) -> Iterator[Engine]:
    """Release an engine's machines at the end."""
    try:
        yield engine
    finally:
        engine.disconnect()
