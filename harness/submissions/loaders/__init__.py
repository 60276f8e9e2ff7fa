"""Networks that come as one file without code of their own: ONNX, ``torch.export``, checkpoints of known networks.

A loader is a function ``(path: Path, scale: int) -> torch.nn.Module``. A manifest names one with
``factory = "harness.loaders:NAME"``, and its file under ``[weights]``. Packages add loaders as entry points of
the group ``harness.loaders``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import SubmissionError
from harness.plugins import list_plugins, load_plugin

if TYPE_CHECKING:
    from torch import nn

GROUP = "harness.loaders"
PREFIX = f"{GROUP}:"

BUILT_IN = {
    "onnx": "harness.worker.loaders.onnx_file:load",
    "torch_export": "harness.worker.loaders.exported_program:load",
    "spandrel": "harness.worker.loaders.recognised:load",
}
"""Name of each loader of this package, and the function behind it."""

SUFFIXES = {
    ".onnx": "onnx",
    ".pt2": "torch_export",
    ".pth": "spandrel",
    ".pt": "spandrel",
    ".ckpt": "spandrel",
    ".safetensors": "spandrel",
}
"""Which loader a bare file gets."""


def get_loader(name: str) -> Callable[[Path, int], nn.Module]:
    """Return the loader called ``name``, built in or of an installed package.

    Raises
    ------
    SubmissionError
        There is none of that name.
    """
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        loader: Callable[[Path, int], nn.Module] = getattr(importlib.import_module(module), function)
        return loader
    plugins = [plugin.name for plugin in list_plugins(GROUP)]
    if name not in plugins:
        known = ", ".join(sorted({*BUILT_IN, *plugins}))
        raise SubmissionError(
            f"there is no loader {name}", where=f"factory = {PREFIX}{name}", hint=f"choose one of {known}"
        )
    loaded = load_plugin(GROUP, name)
    if not callable(loaded):
        raise SubmissionError(
            f"the loader {name} is no function", where=GROUP, hint="repair the package that offers it"
        )
    return loaded
