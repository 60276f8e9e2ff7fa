"""Benchmark real-time image super-resolution networks, from a folder of submissions to a leaderboard.

The public interface for Python is what ``__all__`` lists; ``docs/python.md`` describes it with examples. Types are in
``__init__.pyi``. Nothing is imported before it is used, because workers import this package too.
"""

from importlib import import_module as _import_module

__all__ = [
    "PSNR",
    "SSIM",
    "Benchmark",
    "Complexity",
    "Quality",
    "Run",
    "__version__",
    "benchmark",
    "complexity",
    "evaluate",
    "load_run",
    "psnr",
    "reparameterize",
    "run",
    "score",
    "ssim",
]

__version__ = "0.1.0"

_MODULES = {
    "PSNR": "harness.api.metrics",
    "SSIM": "harness.api.metrics",
    "Benchmark": "harness.api.benchmarking",
    "Complexity": "harness.complexity.count",
    "Quality": "harness.quality.evaluate",
    "Run": "harness.api.stored_run",
    "benchmark": "harness.api.benchmarking",
    "evaluate": "harness.api.evaluation",
    "load_run": "harness.api.stored_run",
    "psnr": "harness.api.images",
    "reparameterize": "harness.api.networks",
    "score": "harness.api.scoring",
    "ssim": "harness.api.images",
}
# These two names are packages as well, see `harness.callable_package`.
_CALLABLE_PACKAGES = ("complexity", "run")


def __getattr__(name: str) -> object:
    """Import a name of the public interface when it is used."""
    if name in _CALLABLE_PACKAGES:
        return _import_module(f"harness.{name}")
    if name in _MODULES:
        # Stored, so that this function is called once for each name.
        value = globals()[name] = getattr(_import_module(_MODULES[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public interface."""
    return sorted(__all__)
