"""Load the networks in submissions/ and baselines/ by path, as the harness does."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from harness.submissions.manifest import read_manifest

Build = Callable[[str, int], nn.Module]


@cache
def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"zoo_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def build(root: Path) -> Build:
    """Return a function that builds a model of ``submissions/`` or ``baselines/`` in its training form, seeded."""

    def build_model(name: str, scale: int) -> nn.Module:
        folder = root / "submissions" / name
        folder = folder if folder.is_dir() else root / "baselines" / name
        torch.manual_seed(scale)
        network: nn.Module = _module(folder / "arch.py").srmodel(scale)
        return network.eval()

    return build_model


@pytest.fixture(scope="session")
def to_inference(root: Path) -> Callable[[nn.Module], nn.Module]:
    """Return a function that calls, in place, the author's method that the manifest names, if it names one."""

    hooks = {
        manifest.parent.name: read_manifest(manifest).reparameterize
        for manifest in (root / "submissions").glob("*/submission.toml")
    }

    def convert(network: nn.Module) -> nn.Module:
        hook = hooks[type(network).__name__]
        if hook is not None:
            getattr(network, hook)()
        return network

    return convert
