"""The documentation is complete: every command, option, manifest key, plug-in group and variable is described."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from harness.cli import app
from harness.submissions.manifest import Manifest

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def pages(root: Path) -> list[Path]:
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


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
