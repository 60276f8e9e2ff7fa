"""The skeleton of the organisers' paper compiles and holds what was run."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.report import load_run
from harness.report.drawing import render
from harness.report.figures import draw_figures
from harness.report.paper import write_paper
from harness.report.rows import scored_rows
from harness.report.rules import score_of


@pytest.fixture(scope="module")
def paper(fake_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the paper of the made-up run, whose names try to break it."""
    folder = tmp_path_factory.mktemp("paper")
    write_paper(load_run(fake_run), folder)
    return folder


def cells(text: str, label: str) -> list[list[str]]:
    body = text.split(rf"\label{{{label}}}")[1].split(r"\midrule", 1)[1].split(r"\bottomrule", maxsplit=1)[0]
    return [re.split(r"(?<!\\)&", line.removesuffix(r" \\")) for line in body.splitlines() if line.endswith(r"\\")]


def test_tables_hold_every_row(paper: Path, fake_run: Path) -> None:
    run, text = load_run(fake_run).run, (paper / "paper.tex").read_text(encoding="utf-8")
    scored = [entry for entry in run.entries if entry.status == "ok"]
    results = cells(text, "tab:results")
    assert len(results) == len(scored)
    assert {len(row) for row in results} == {10}
    (row,) = [row for row in results if row[2].strip() == "LRSRN"]
    assert "11.28" in row[-1]  # the mean, which the protocol scores
    assert r"\cellcolor{band3!30}" in row[-1]  # 89 frames per second: 60 to 120
    architectures = cells(text, "tab:architectures")
    assert len(architectures) == sum(entry.kind == "submission" for entry in scored)
    (row,) = [row for row in architectures if row[1].strip() == "LRSRN"]
    assert [cell.strip() for cell in row[2:4]] == ["333.20", "41.36"]
    assert row[-1].strip() == "author: fuse\\_model"


def test_the_protocol_is_that_of_the_run(paper: Path) -> None:
    text = (paper / "paper.tex").read_text(encoding="utf-8")
    for words in (
        "NVIDIA GeForce RTX 3090",
        "1920 x 1080",
        "3840 x 2160",
        "fp16",
        "50 calls",
        "244 calls",
        "CUDA events",
    ):
        assert words in text
    assert "uses the mean" in text
    assert "no weights for x2" in text  # a submission without a score, with its reason


def test_the_plot_is_that_of_the_page(paper: Path, fake_run: Path) -> None:
    folder = load_run(fake_run)
    drawn, *_ = draw_figures(folder.run, scored_rows(folder), score_of(folder.run))
    assert drawn.name == "psnr-runtime"
    assert (paper / "figures" / "psnr-runtime.pdf").read_bytes() == render(drawn.figure, "pdf", paper=True)


def test_notes_are_those_of_its_columns_and_end_in_one_full_stop(fake_run: Path, tmp_path: Path) -> None:
    folder = load_run(fake_run)
    tied, others = folder.run.entries[0].slug, [entry.slug for entry in folder.run.entries[1:3]]
    entries = [
        entry.model_copy(update={"tied_with": others if entry.slug == tied else [tied]}) for entry in folder.run.entries
    ]
    run = folder.run.model_copy(update={"entries": entries, "warnings": ["It was busy. Use `--processes`."]})
    write_paper(replace(folder, run=run), tmp_path)
    text = (tmp_path / "paper.tex").read_text(encoding="utf-8")
    assert "warning: It was busy. Use \\textasciigrave{}-{}-processes\\textasciigrave{}.\n" in text
    assert "tied with" not in text


def test_a_paper_that_was_edited_is_not_replaced(fake_run: Path, tmp_path: Path) -> None:
    folder, file = load_run(fake_run), tmp_path / "paper.tex"
    write_paper(folder, tmp_path)
    run = folder.run.model_copy(update={"warnings": ["It was busy."]})
    write_paper(replace(folder, run=run), tmp_path)  # nobody has edited it
    assert "It was busy." in file.read_text(encoding="utf-8")
    edited = file.read_text(encoding="utf-8").replace("TODO", "We thank our sponsors.", 1)
    file.write_text(edited, encoding="utf-8")
    plot = tmp_path / "figures" / "psnr-runtime.pdf"
    plot.write_bytes(b"improved by hand")
    for written in (edited, "\\documentclass{article} % of another origin"):
        file.write_text(written, encoding="utf-8")
        with pytest.raises(UsageError, match=r"edited.*-o"):
            write_paper(folder, tmp_path)
        assert file.read_text(encoding="utf-8") == written
        assert plot.read_bytes() == b"improved by hand"


@pytest.mark.parametrize("crops", [True, False])
def test_it_compiles(paper: Path, fake_run: Path, tmp_path: Path, crops: bool) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    folder = tmp_path / "paper"
    if crops:
        shutil.copytree(paper, folder)
        assert len(list((folder / "figures").glob("crop-*.png"))) == 8
    else:
        bare = tmp_path / "run"
        bare.mkdir()
        shutil.copy(fake_run / "results.json", bare)
        answer = CliRunner().invoke(app, ["export", str(bare), "--format", "paper", "-o", str(folder)])
        assert answer.exit_code == 0, answer.output
        assert r"\label{fig:crops}" not in (folder / "paper.tex").read_text(encoding="utf-8")
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
