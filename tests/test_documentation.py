"""The documentation is complete, and what it names exists: commands, options, keys, groups, variables, functions."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from harness.cli import app
from harness.submissions.manifest import Manifest

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
GROUPS = sorted({"harness.submissions", *ENTRY_POINTS})
SOURCES = ("harness", "tests", "benchmarks", "training", "baselines", "submissions", "docs", ".ci")


def pages(root: Path) -> list[Path]:
    return [
        *(root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
        *sorted((root / "docs").rglob("*.md")),
    ]


PAGES = pages(ROOT)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_described(root: Path, name: str) -> None:
    text = (root / "docs" / "commands.md").read_text()
    match = re.search(rf"^## harness {name}$(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert match, f"docs/commands.md has no section 'harness {name}'"
    options = [flag for parameter in COMMANDS[name].params for flag in parameter.opts if flag.startswith("--")]
    missing = [flag for flag in options if flag != "--help" and f"`{flag}" not in match[1]]
    assert not missing


def test_no_command_is_described_that_does_not_exist(root: Path) -> None:
    described = re.findall(r"^## harness (\S+)$", (root / "docs" / "commands.md").read_text(), flags=re.MULTILINE)
    assert sorted(described) == sorted(COMMANDS)


@pytest.mark.parametrize("key", sorted(Manifest.model_fields))
def test_every_manifest_key_is_described(root: Path, key: str) -> None:
    text = (root / "docs" / "submitting.md").read_text()
    assert f"`{key}`" in text or f"[{key}]" in text


def test_every_group_of_entry_points_is_described(root: Path) -> None:
    page = (root / "docs" / "extending.md").read_text()
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]
    groups = {"harness.submissions", *declared}
    assert len(groups) == 8
    assert not {group for group in groups if f"`{group}`" not in page}


def test_every_environment_variable_is_described(root: Path) -> None:
    code = "".join(path.read_text() for folder in ("harness", "training") for path in (root / folder).rglob("*.py"))
    described = "".join(page.read_text() for page in pages(root))
    variables = set(re.findall(r"[\"'](HARNESS_[A-Z_]+)[\"']", code))
    assert {variable for variable in variables if variable not in described} == set()


def test_every_link_leads_somewhere(root: Path) -> None:
    broken = [
        f"{page.relative_to(root)}: {target}"
        for page in pages(root)
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_readme_holds_the_two_commands_that_ci_runs(root: Path) -> None:
    def command(which: str) -> str:
        script = [sys.executable, str(root / ".ci" / "readme_command.py"), which]
        return subprocess.run(script, capture_output=True, text=True, check=True).stdout

    assert command("run").strip().endswith("harness run submissions/ --scale 2")
    assert command("tests").strip().endswith("python -m pytest -n 2 --dist loadfile")


def unfenced(page: Path) -> str:
    """Return a page without its fenced blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def resolve(name: str) -> object:
    """Return the module or the object that ``package.module:object.attribute`` or a dotted name stands for."""
    module, _, attributes = name.partition(":")
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in [*parts[length:], *filter(None, attributes.split("."))]:
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_of_the_code_exists(page: Path) -> None:
    names = set(re.findall(r"`(harness(?:\.\w+)+(?::[\w.]+)?)(?:\(.*?\))?`", unfenced(page)))
    missing = []
    for name in sorted(names - {*GROUPS, "harness.toml"}):
        try:
            resolve(name)
        except (ImportError, AttributeError) as error:
            missing.append(f"{name}: {error}")
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_of_the_project_exists(page: Path) -> None:
    paths = re.findall(rf"`(?:python )?((?:{'|'.join(map(re.escape, SOURCES))})/[\w./-]*)", unfenced(page))
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_example_is_valid_and_imports_what_exists(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("harness"):
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_example_of_a_track_runs(root: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "extending.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(block, names)
    assert names["fast"].score(psnr=35.0, runtime_ms=10.0, bicubic=34.0) == 34.0  # type: ignore[attr-defined]


def test_the_layers_of_the_page_are_those_of_the_contract(root: Path) -> None:
    text = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## Layers.*?```text\n(.*?)```", text, re.DOTALL)
    drawn = [re.split(r" {2,}", line)[0].strip() for line in block.splitlines()]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert drawn == [layer for layer in layers if layer != "__main__"]


def test_every_package_is_on_the_page_of_the_architecture(root: Path) -> None:
    text = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in (root / "harness").glob("*/__init__.py")]
    assert [name for name in packages if f"`harness.{name}`" not in text] == []
