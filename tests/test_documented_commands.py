"""Commands in the documentation exist with their options; tutorials and the notebook run as they are written."""

import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from typer.main import get_command

from harness.cli import app

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES.remove(ROOT / "CHANGELOG.md")  # it speaks of earlier releases
TUTORIALS = [page for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")) if page.stem != "index"]
MOST_COMMANDS = 6


def shell_blocks(page: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands_in(page: Path) -> Iterator[list[str]]:
    """Yield the words of each call of the harness, in blocks and in the text."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in shell_blocks(page) for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`((?:\n|[^`])*?)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in lines:
        for part in re.split(r"&&|\||;", " ".join(line.split()).partition(" #")[0]):
            words = part.split()
            if len(words) > 1 and words[0] == "harness" and words[1] in COMMANDS:
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_option_of_a_documented_command_exists(page: Path) -> None:
    for name, *words in commands_in(page):
        known = {option for one in COMMANDS[name].params for option in (*one.opts, *one.secondary_opts)}
        known |= {option for one in COMMANDS["run"].params for option in one.opts} if name == "config" else set()
        used = {word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)}
        assert used - known - {"--help"} == set(), f"harness {name} {' '.join(words)}"


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_journey_takes_few_commands(page: Path) -> None:
    (block,) = shell_blocks(page)
    assert 1 < len(block.strip().splitlines()) <= MOST_COMMANDS


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_journey_works_from_an_empty_folder(page: Path, tmp_path: Path) -> None:
    if page.stem == "challenge":
        (tmp_path / "inbox").mkdir()
        for network in ("ALONG", "CRC", "RTVSR", "TeamOV", "FSRCNN"):
            with zipfile.ZipFile(tmp_path / "inbox" / f"{network}.zip", "w") as archive:
                for file in (ROOT / "submissions" / network).rglob("*.*"):
                    archive.write(file, file.relative_to(ROOT / "submissions"))
    folder = tmp_path
    for line in shell_blocks(page)[0].strip().splitlines():
        words = shlex.split(line)
        if words[0] == "cd":
            folder /= words[1]
            continue
        done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False)
        nothing_fits = words[1] == "choose" and "no network fits" in done.stdout  # on a slow machine
        assert done.returncode == 0 or nothing_fits, line + done.stdout + done.stderr
    assert list(tmp_path.rglob("leaderboard.html"))


def test_the_notebook_shows_the_table_and_a_figure(root: Path) -> None:
    notebook = nbformat.read(root / "docs" / "run.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(root)}}).execute()
    kinds = [set(output.get("data", {})) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("text/html" in kind for kind in kinds)
    assert any("image/png" in kind for kind in kinds)
