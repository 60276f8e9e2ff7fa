"""The contracts of `pyproject.toml` on imports hold, and each of them fails where it is broken."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract for contract in SETTINGS["contracts"]}

BREACHES = {
    "layers": ("tracks/track.py", "import harness.run.plan"),
    "report": ("report/page.py", "from harness.timing import protocol"),
    "controller": ("machine/cores.py", "from harness.worker import clock"),
    "worker": ("worker/frames.py", "from harness.data.opening import open_dataset"),
}
"""By contract, an import that breaks it, and where."""


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scratch")
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=lambda _, names: {n for n in names if not is_code(n)})
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def is_code(name: str) -> bool:
    return name.endswith(".py") or ("." not in name and name != "__pycache__")


def lint(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("importlinter", reason="import-linter, which checks the contracts, is not installed")
    code = "from importlinter.cli import lint_imports_command as main; main()"
    command = [sys.executable, "-c", code, "--no-cache", *options]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_contracts_hold(copied: Path) -> None:
    done = lint(copied)
    assert done.returncode == 0, done.stdout
    assert f"{len(CONTRACTS)} kept, 0 broken" in done.stdout


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_forbidden_import_breaks_the_contract(copied: Path, contract: str) -> None:
    place, statement = BREACHES[contract]
    file = copied / "harness" / place
    before = file.read_text()
    file.write_text(f"{before}\n{statement}\n")
    try:
        done = lint(copied, "--contract", contract)
    finally:
        file.write_text(before)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{CONTRACTS[contract]['name']} BROKEN" in done.stdout


def test_no_contract_has_an_exception() -> None:
    assert not [name for name, contract in CONTRACTS.items() if "ignore_imports" in contract]


def test_every_module_of_the_controller_is_under_the_contract_but_two_that_nothing_imports() -> None:
    listed = set(CONTRACTS["controller"]["source_modules"])
    parts = {f"harness.{path.stem}" for path in (ROOT / "harness").iterdir() if is_code(path.name)}
    engines = {f"harness.engines.{path.stem}" for path in (ROOT / "harness" / "engines").glob("*.py")}
    api = {f"harness.api.{path.stem}" for path in (ROOT / "harness" / "api").glob("*.py")}
    expected = parts - {"harness.worker", "harness.engines", "harness.api", "harness.__init__"}
    left_out = ("__init__", "_baselines", ".inline", ".benchmarking")
    assert listed == {one for one in expected | engines | api if not one.endswith(left_out)}
    for name in ("harness.engines.inline", "harness.api.benchmarking"):
        statements = (f"from {name} import", f"import {name}")
        sources = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "harness").rglob("*.py")}
        assert [path for path, text in sources.items() if any(one in text for one in statements)] == []


def imported(path: Path) -> set[str]:
    """Return the packages of the harness that a module imports anywhere in its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return {parts[1] for name in found if (parts := name.split("."))[0] == "harness" and len(parts) > 1}


def test_no_packages_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "harness").rglob("*.py"):
        package = path.relative_to(ROOT / "harness").with_suffix("").parts[0]
        graph[package] |= imported(path) - {package}
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("errors") < order.index("results") < order.index("worker") < order.index("pipeline")


def test_a_worker_does_not_load_the_controller() -> None:
    """Also the code of the packages above an imported module runs, which the contracts do not look at."""
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "harness" / "worker").glob("*.py")
        if path.stem != "__init__"
    )
    code = f"import sys, {', '.join(modules)}; print(*(name for name in sys.modules if name.startswith('harness.')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    forbidden = CONTRACTS["worker"]["forbidden_modules"]
    loaded = done.stdout.split()
    assert "harness.worker.operations" in loaded
    assert not [name for name in loaded for other in forbidden if name == other or name.startswith(f"{other}.")]
