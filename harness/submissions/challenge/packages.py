"""Which distributions provide the packages that challenge code imports, and which of them are installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable

from harness.submissions.distributions import DISTRIBUTIONS


def required(imported: Iterable[str]) -> list[str]:
    """Return the distributions of imported packages that are not installed, as far as they are known, sorted."""
    return sorted({DISTRIBUTIONS[name] for name in imported if name in DISTRIBUTIONS and not is_installed(name)})


def is_installed(name: str) -> bool:
    """Return whether a top-level module can be found; nothing is imported."""
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return True
    try:
        # find_spec() raises ValueError for a loaded module without __spec__, such as __main__.
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False
