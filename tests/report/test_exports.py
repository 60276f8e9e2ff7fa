import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.report import load_run
from harness.report.exports import FORMS, export
from harness.report.latex import escaped
from harness.results import RunStore
from harness.results.measurement import ImageQuality, Measurement
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry, ErrorInfo


@pytest.fixture(scope="module")
def folder(fake_run):
    return load_run(fake_run)


def test_csv_keeps_figures_unrounded_and_every_row(folder):
    rows = list(csv.DictReader(io.StringIO(export(folder, "csv"))))
    entries = {entry.slug: entry for entry in folder.run.entries}
    assert {row["slug"] for row in rows} == set(entries)
    for row in rows:
        entry = entries[row["slug"]]
        assert row["name"] == entry.name
        assert row["psnr_rgb"] == ("" if entry.psnr_rgb is None else str(entry.psnr_rgb))


def test_json_equals_csv(folder):
    records = json.loads(export(folder, "json"))
    rows = list(csv.DictReader(io.StringIO(export(folder, "csv"))))
    assert [{key: "" if value is None else str(value) for key, value in record.items()} for record in records] == rows


def test_markdown_has_one_cell_a_column_whatever_the_names(folder):
    lines = [line for line in export(folder, "markdown").splitlines() if line.startswith("|")]
    assert len(lines) == 2 + sum(entry.status == "ok" for entry in folder.run.entries)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {11}
    assert not [line for line in lines if "<script" in line]
    assert sum("**" in line for line in lines) >= 3


def test_columns_are_chosen_in_order(folder):
    head = export(folder, "markdown", ["fps", "score"]).splitlines()[0]
    assert head == "| # | Ranks, 95 % | Tied with | Model | Frames, fps | Score |"


def test_latex_marks_the_best_and_the_second(folder):
    text = export(folder, "latex", whole=False)
    assert text.count(r"\bfseries") >= 6
    assert text.count(r"\underline") >= 6
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {9}
    assert all(line.endswith(r"\\") for line in body)
    assert r"S[table-format=2.2]" in text


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("50% & _more_", r"50\% \& \_more\_"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("é 🚀", "é ?"),
        ("`run --scale 2`", r"\textasciigrave{}run -{}-scale 2\textasciigrave{}"),
        ("a---b-c-", "a-{}-{}-b-c-"),
        ("1\N{EN DASH}4", "1--4"),
    ],
)
def test_latex_prints_a_name_as_text(name, printed):
    assert escaped(name) == printed


SAMPLE = Path(__file__).parents[2] / "reports" / "sample"
FEW = ["psnr_rgb", "runtime_ms", "params_k"]


@pytest.mark.parametrize(("run", "columns"), [(None, None), (SAMPLE, None), (SAMPLE, FEW)])
def test_latex_compiles(folder, tmp_path, run, columns):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    text = export(load_run(run) if run else folder, "latex", columns)
    (tmp_path / "table.tex").write_text(text, encoding="utf-8")
    heads = text.split(r"\toprule")[0].count("S[table-format")
    assert heads == len(columns or []) or columns is None
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_html_fragment_shows_names_as_text(folder):
    text = export(folder, "html-fragment")
    assert "&lt;script&gt;window.pwned" in text
    assert "<script" not in text
    assert text.count("<tr>") == text.count("</tr>") == 22  # a head, 20 rows, and the notes


@pytest.mark.parametrize("form", FORMS)
def test_exports_are_repeatable(folder, form):
    assert export(folder, form) == export(load_run(folder.path), form)


def test_unknown_names_are_refused_with_the_choice(folder):
    with pytest.raises(UsageError, match="markdown"):
        export(folder, "docx")
    with pytest.raises(UsageError, match="psnr_rgb"):
        export(folder, "csv", ["beauty"])


def test_frames_hold_every_row_and_image(folder):
    frame = folder.to_frame()
    assert len(frame) == len(folder.run.entries)
    lrsrn = frame[frame["name"] == "LRSRN"].iloc[0]
    assert lrsrn["runtime_ms_median"] == pytest.approx(11.19)
    assert (lrsrn["reparam_params_before"], lrsrn["published_psnr_val"]) == (333_196, 32.831)
    assert lrsrn["score_ci_low"] < lrsrn["score"] < lrsrn["score_ci_high"]
    images = folder.per_image_frame()
    assert len(images) == 20 * 6
    assert images.groupby("slug")["psnr_rgb"].mean()[lrsrn["slug"]] == pytest.approx(lrsrn["psnr_rgb"], abs=0.2)


def test_names_that_look_like_formulas_are_text_in_the_files_of_a_run(folder, tmp_path):
    error = ErrorInfo(stage="load", type="E", message="-1\n=2")
    entry = Entry(name="=1+1", team="@team", kind="submission", status="failed", slug="x", error=error)
    image = "=cmd|' /C calc'!A0"
    figures = dict.fromkeys(("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y"), -1.5)
    measured = Measurement(fingerprint="a", created="2026", status="ok", images=[ImageQuality(image=image, **figures)])
    run = folder.run.model_copy(update={"entries": [entry]})
    RunStore(tmp_path).save_run(run, {"x": measured})
    with (tmp_path / "leaderboard.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["name"], row["team"], row["error"]) == ("'=1+1", "'@team", "load: -1\n'=2")
    assert f"\nx,'{image},-1.5," in (tmp_path / "per_image.csv").read_text()
    assert RunFolder(tmp_path, run).per_image == {"x": {image: figures}}
    (exported,) = csv.DictReader(io.StringIO(export(RunFolder(tmp_path, run), "csv")))
    assert (exported["name"], exported["error"]) == ("'=1+1", "load: -1\n'=2")


def test_names_that_look_like_formulas_are_text_in_markdown(folder):
    entry = next(entry for entry in folder.run.entries if entry.status == "ok")
    named = entry.model_copy(update={"name": "=HYPERLINK(1)"})
    text = export(RunFolder(folder.path, folder.run.model_copy(update={"entries": [named]})), "markdown")
    assert "| '=HYPERLINK(1) |" in text
