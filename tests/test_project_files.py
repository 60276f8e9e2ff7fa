"""Files around the code name what exists: containers, workflow, citation, issue templates."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from harness import __version__
from harness.cli import app

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def options_of(command: str) -> set[str]:
    return {option for one in COMMANDS[command].params for option in (*one.opts, *one.secondary_opts)}


def test_the_citation_is_of_this_version(root: Path) -> None:
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == __version__
    assert citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


@pytest.mark.parametrize("name", ["containers/Dockerfile", "containers/harness.def"])
def test_containers_copy_what_the_wheel_needs(root: Path, name: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], "pyproject.toml", "README.md", "LICENSE"}
    copied = set(re.findall(r"^\s*COPY (?!--)(.*) \S+$", text, re.MULTILINE)) | set(
        re.findall(r"^    (\S+) /source/", text, re.MULTILINE)
    )
    assert {word for line in copied for word in line.split()} == needed
    kept = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == needed


def test_every_harness_command_in_files_around_the_code_exists(root: Path) -> None:
    files = [*(root / ".github").rglob("*.yml"), *(root / "containers").iterdir(), root / "docs" / "containers.md"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    called = re.findall(r"(?:harness|sr-harness:\w+|harness\.sif) ([a-z]+)((?: [^\s`]+)*)", text)
    assert len(called) > 5
    for command, rest in called:
        if command in COMMANDS:
            assert {word for word in rest.split() if word.startswith("--")} <= options_of(command), rest
    assert {command for command, _ in called} & set(COMMANDS) >= {"run", "example", "doctor"}


def test_the_workflow_does_what_the_own_script_does(root: Path) -> None:
    workflow = yaml.safe_load((root / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    script = (root / ".ci" / "run").read_text(encoding="utf-8")
    for command in ("ruff check .", "ruff format --check .", "mypy", "lint-imports"):
        assert command in commands
        assert command in script
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert "python -m pytest -n 2 --dist loadfile" in commands
    assert "python -m pytest -n 2 --dist loadfile" in readme
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180


def test_issue_templates_ask_for_something(root: Path) -> None:
    templates = [path for path in (root / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert len(templates) == 3
    for path in templates:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(form)
        assert any(field.get("validations", {}).get("required") for field in form["body"])
