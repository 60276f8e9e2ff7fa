"""Detect the accelerator that torch can use, without importing torch if its build supports none.

Importing torch takes seconds. A run that measures nothing new, because all results are stored, avoids that cost.
"""

from __future__ import annotations

import runpy
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Variables of torch/version.py that are not None if the build supports such devices.
_KINDS = ("cuda", "hip", "xpu")


def accelerator_type() -> str | None:
    """Return the type of the available accelerator, such as ``"cuda"``, or None if there is none.

    torch is imported only if its build, or an installed extension, supports an accelerator.
    """
    build = torch_build()
    cpu_only = not any(build.get(name) for name in _KINDS) and sys.platform != "darwin"
    # Out-of-tree accelerators (for example Gaudi) register in this entry-point group and work with a CPU build.
    if cpu_only and not entry_points(group="torch.backends"):
        return None
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found.type if found else None


def accelerator_count() -> int:
    """Return the number of accelerators of the available type; 0 if there is none."""
    if accelerator_type() is None:
        return 0
    import torch

    return torch.accelerator.device_count()


def torch_build() -> dict[str, Any]:
    """Return torch's build information (``__version__``, ``cuda``, ``hip`` ...) without importing torch."""
    spec = find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return runpy.run_path(str(Path(spec.origin).with_name("version.py")))
