"""What ``import harness`` offers: the names, their types, and that importing it costs nothing."""

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import harness

HEAVY = {"numpy", "pandas", "torch", "pydantic", "matplotlib", "scipy", "numba"}


def in_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_all_equals_the_namespace() -> None:
    for name in harness.__all__:
        assert getattr(harness, name) is not None
    assert sorted(harness.__all__) == dir(harness)
    offered = {
        name
        for name, value in vars(harness).items()
        if not name.startswith("_") and (callable(value) or not isinstance(value, ModuleType))
    }
    assert offered == set(harness.__all__) - {"__version__"}


def test_the_types_are_of_the_same_names(root: Path) -> None:
    stub = ast.parse((root / "harness" / "__init__.pyi").read_text(encoding="utf-8"))
    imported = {
        alias.name: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert sorted([*imported, "__version__"]) == sorted(harness.__all__)
    for name, module in imported.items():
        found = getattr(import_module(str(module)), name)
        if name in ("run", "complexity"):
            assert inspect.signature(getattr(harness, name)) == inspect.signature(found)
        else:
            assert getattr(harness, name) is found


def test_every_name_is_documented(root: Path) -> None:
    page = (root / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in harness.__all__ if f"harness.{name}" not in page] == []
    assert all(inspect.getdoc(getattr(harness, name)) for name in harness.__all__)


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, harness; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    assert not HEAVY & set(in_new_process(code).split())


def test_nothing_warns_when_it_is_imported_and_used() -> None:
    code = (
        "import torch, warnings, harness; warnings.simplefilter('error')\n"
        "for name in harness.__all__: getattr(harness, name)\n"
        "network = torch.nn.Sequential(torch.nn.Conv2d(3, 12, 1), torch.nn.PixelShuffle(2))\n"
        "harness.evaluate(network, 'embedded', 2), harness.reparameterize(network)\n"
        "print(harness.complexity(network, (8, 9)).macs)"
    )
    assert in_new_process(code) == str(8 * 9 * 3 * 12)


@pytest.mark.parametrize("first", ["", "import harness.run.plan, harness.complexity.count;"])
def test_a_package_can_be_called_whatever_is_imported_first(first: str) -> None:
    code = f"{first}import harness; harness.run(['missing'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UsageError" in done.stderr
    assert "missing" in done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'leaderboard'"):
        harness.leaderboard  # type: ignore[attr-defined]  # noqa: B018
