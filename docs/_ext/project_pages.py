"""Pages that are made from the code when the site is built, and links to files that are not part of it."""

import json
import re
from pathlib import Path
from typing import Any

import typer
from sphinx.application import Sphinx

from harness.cli import app as command_line
from harness.cli.help_pages import EXAMPLES, PANELS
from harness.cli.json_forms import FORMS

OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)\s]+)\)")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", name_files_outside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def name_files_outside(app: Sphinx, name: str, source: list[str]) -> None:
    """Replace links to files of the checkout that are no pages of the site by their paths."""
    here = Path(app.srcdir, name).parent

    def replaced(link: re.Match[str]) -> str:
        target = (here / link[0].rpartition("](")[2].rstrip(")").partition("#")[0]).resolve()
        inside = target.is_relative_to(app.srcdir)
        return link[0] if inside else f"{link[1]} (`{target.relative_to(Path(app.srcdir).parent)}`)"

    source[0] = OUTSIDE.sub(replaced, source[0])


def write_pages(app: Sphinx) -> None:
    """Write the reference of the command line and the JSON Schemas. Unchanged pages are not written again."""
    folder = Path(app.srcdir) / "reference"
    _write(folder / "command-line.md", command_line_page())
    _write(folder / "schemas.md", schema_page())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def command_line_page() -> str:
    """Return the reference of all commands, from their definitions."""
    group: Any = typer.main.get_command(command_line)
    listed = [name for names in PANELS.values() for name in names if name in group.commands]
    rest = sorted(set(group.commands) - set(listed))
    parts = ["# Command-line reference\n\nGenerated from the code; [Commands](../commands.md) explains more.\n"]
    parts += [_command_section(name, group.get_command(None, name)) for name in [*listed, *rest]]
    return "\n".join(parts)


def _command_section(name: str, command: Any) -> str:
    lines = [f"## harness {name}\n", f"{(command.help or '').strip()}\n"]
    examples = EXAMPLES.get(name)
    if examples:
        lines.append("```text\n" + "\n".join(examples) + "\n```\n")
    rows = [f"| {_names(one)} | {_cell(one.help or '')} |" for one in command.params if one.name != "help"]
    return "\n".join([*lines, *(["| option | meaning |", "|---|---|", *rows, ""] if rows else [])])


def _names(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{one if one.startswith('-') else one.upper()}`" for one in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def schema_page() -> str:
    """Return the JSON Schemas of what commands print."""
    parts = ["# JSON Schemas\n\nOf `results.json` and of what commands print with `--json`; `harness schema NAME`.\n"]
    for name, form in FORMS.items():
        text = json.dumps(form.model_json_schema(), indent=1)
        parts.append(f"## {name}\n\n```json\n{text}\n```\n")
    return "\n".join(parts)
