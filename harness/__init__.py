"""Benchmark real-time image super-resolution networks, from a folder of submissions to a leaderboard.

``harness.load_run(path).to_frame()`` gives a stored run as a pandas table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.results.run_folder import load_run

__all__ = ["__version__", "load_run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what needs pandas and matplotlib only when it is asked for: workers import this package too."""
    if name == "load_run":
        from harness.results.run_folder import load_run

        return load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
