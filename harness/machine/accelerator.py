"""Whether torch sees an accelerator, asked without importing torch where its build has no use for one.

Importing torch takes seconds, which a run that measures nothing new need not spend.
"""

from __future__ import annotations

import runpy
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_KINDS = ("cuda", "hip", "xpu")


def accelerator_type() -> str | None:
    """Return the type of accelerator that torch sees, such as ``cuda``; torch is imported only if it may see one."""
    build = torch_build()
    for_processor = not any(build.get(name) for name in _KINDS) and sys.platform != "darwin"
    if for_processor and not entry_points(group="torch.backends"):  # packages that bring an accelerator of their own
        return None
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found.type if found else None


def torch_build() -> dict[str, Any]:
    """Return what torch was built as (``__version__``, ``cuda``, ``hip`` ...), read without importing torch."""
    spec = find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return runpy.run_path(str(Path(spec.origin).with_name("version.py")))
