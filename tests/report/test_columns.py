"""A column is declared once and appears in the page, the terminal, the stored table and every export."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import harness.results.columns
from harness.cli.terminal import leaderboard_table
from harness.quality import get_convention
from harness.report import load_run
from harness.report.columns import columns_of
from harness.report.exports import FORMS, export
from harness.report.page import build_report
from harness.report.rows import best_places
from harness.results.columns import COLUMNS, Column, lower_bounds
from harness.results.run_folder import RunFolder
from harness.results.store import save_table

MEMORY = Column("peak_memory_bytes", "Memory", lambda entry, _: entry.peak_memory_bytes, "MB", 1e6, "memory_mb")


@pytest.fixture
def folder(make_run: Callable[..., Path]) -> RunFolder:
    return load_run(make_run())


def terminal(folder: RunFolder) -> str:
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(leaderboard_table(folder.run))
    return console.export_text()


def test_a_column_is_added_in_one_place(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.results.columns, "COLUMNS", (*COLUMNS, MEMORY))
    page = build_report(folder.path).read_text(encoding="utf-8")
    assert 'data-key="memory_mb"' in page
    assert ">812</td>" in page
    assert "<dt>Memory</dt>" in (folder.path / "models" / "row-0.html").read_text(encoding="utf-8")
    assert "Memory MB" in terminal(folder)
    assert "812.00" in terminal(folder)
    save_table(folder.path, folder.run)
    (stored, *_) = csv.DictReader((folder.path / "leaderboard.csv").read_text().splitlines())
    assert stored["peak_memory_bytes"] == "812000000"
    (record, *_) = json.loads(export(folder, "json"))
    assert record["memory_mb"] == 812.0
    for form in FORMS:
        assert "812" in export(folder, form), form
        assert "emory" in export(folder, form), form
        assert "812" in export(folder, form, ["memory_mb"]), form


def with_figures(folder: RunFolder, **figures: float) -> RunFolder:
    """Return the run with all figures multiplied, so that they have another order of magnitude."""
    results = json.loads((folder.path / "results.json").read_text())
    for entry in results["entries"]:
        for name, factor in figures.items():
            if name == "runtime_ms" and entry.get(name):
                entry[name] |= {key: factor * entry[name][key] for key in ("median", "mean", "p95")}
            elif entry.get(name):
                entry[name] = type(entry[name])(factor * entry[name])
    (folder.path / "results.json").write_text(json.dumps(results))
    return load_run(folder.path)


def test_small_figures_are_told_apart_in_the_terminal_and_on_the_page(folder: RunFolder) -> None:
    small = with_figures(folder, runtime_ms=0.1, macs=1e-3, score=1e-4)
    table = terminal(small)
    for column in columns_of(small.run, "terminal"):
        if column.key in ("runtime_ms", "macs_g", "score"):
            entries = [entry for entry in small.run.entries if entry.kind == "submission" and column.value(entry)]
            exact = {column.value(entry) for entry in entries}
            assert len(exact) > 5
            assert len({column.text(entry) for entry in entries}) == len(exact), column.key
            assert all(column.text(entry) in table for entry in entries), column.key


def test_a_figure_that_is_rounded_to_zero_has_no_sign(folder: RunFolder) -> None:
    results = json.loads((folder.path / "results.json").read_text())
    results["entries"][0]["delta_psnr_bicubic"] = -1e-5
    results["entries"][1]["delta_psnr_bicubic"] = 1e-5
    (folder.path / "results.json").write_text(json.dumps(results))
    run = load_run(folder.path)
    assert "-0.000" not in terminal(run)
    assert "+0.000" not in terminal(run)
    assert "-0.00" not in export(run, "latex", ["delta_psnr_bicubic"])


def test_columns_of_luma_state_the_convention(folder: RunFolder) -> None:
    results = json.loads((folder.path / "results.json").read_text())
    results["run"]["convention"] = get_convention("lrsrn").sentence
    (folder.path / "results.json").write_text(json.dumps(results))
    hints = {column.key: column.hint for column in columns_of(load_run(folder.path).run)}
    for key in ("psnr_y", "ssim_y"):
        assert get_convention("lrsrn").sentence in hints[key]
        assert "studio" not in hints[key]


@pytest.fixture
def inexact(folder: RunFolder) -> RunFolder:
    """Return a run in which the first row's score rests on a count that is a lower bound."""
    results = json.loads((folder.path / "results.json").read_text())
    first = next(entry for entry in results["entries"] if entry.get("rank") == 1)
    first |= {"incomplete_ops": ["custom::warp"], "partly_counted": ["macs"]}
    (folder.path / "results.json").write_text(json.dumps(results))
    return load_run(folder.path)


def test_a_score_that_rests_on_a_lower_bound_is_marked_and_never_best(folder: RunFolder, inexact: RunFolder) -> None:
    first = next(entry for entry in inexact.run.entries if entry.rank == 1)
    assert "score" not in best_places(inexact.run)[id(first)]
    marks = {"markdown": "\N{PILCROW SIGN}", "latex": r"\textsuperscript{\P}", "html-fragment": "\N{PILCROW SIGN}"}
    for form, mark in marks.items():
        (line,) = [line for line in export(inexact, form).splitlines() if first.name in line]
        assert mark in line, form
        assert "rest on a count that is a lower bound" in export(inexact, form), form
    (record,) = [row for row in json.loads(export(inexact, "json")) if row["name"] == first.name]
    assert record["partly_counted"] == "macs"
    assert "score not exact" in build_report(inexact.path).read_text(encoding="utf-8")


def test_no_figure_is_declared_twice() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert len({column.key or column.name for column in COLUMNS}) == len(COLUMNS)


def test_the_stored_table_keeps_its_columns(folder: RunFolder) -> None:
    save_table(folder.path, folder.run)
    header = (folder.path / "leaderboard.csv").read_text().splitlines()[0]
    assert header == (
        "rank,rank_low,rank_high,name,team,kind,status,score,psnr_rgb,psnr_y,ssim_rgb,ssim_y,delta_psnr_bicubic,"
        "runtime_ms,fps,params,macs,flops,activations,backend,error,lower_bounds"
    )


def test_names_and_keys_are_unique() -> None:
    assert len({column.name for column in COLUMNS}) == len({column.key or column.name for column in COLUMNS})
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)


@pytest.fixture
def bounded(folder: RunFolder) -> RunFolder:
    """Return a run in which the fewest operations are a lower bound."""
    results = json.loads((folder.path / "results.json").read_text())
    results["entries"][9]["incomplete_ops"] = ["custom::warp"]
    (folder.path / "results.json").write_text(json.dumps(results))
    return load_run(folder.path)


def test_a_lower_bound_is_marked_in_every_output_and_never_best(bounded: RunFolder) -> None:
    entry = next(entry for entry in bounded.run.entries if entry.name == "CRC")
    assert min(e.macs for e in bounded.run.entries if e.macs and e.kind == "submission") == entry.macs
    assert "macs_g" not in best_places(bounded.run)[id(entry)]
    assert lower_bounds(entry) == "macs flops activations"
    assert "≥1.69" in terminal(bounded)
    marks: dict[str, Callable[[str], bool]] = {
        "csv": lambda text: next(row for row in csv.DictReader(io.StringIO(text)) if row["name"] == "CRC")[
            "lower_bounds"
        ] == "macs_g",
        "json": lambda text: next(r for r in json.loads(text) if r["name"] == "CRC")["lower_bounds"] == "macs_g",
        "markdown": lambda text: "| ≥ 1.7 |" in text,
        "latex": lambda text: r"{$\geq$ 1.7}" in text,
        "html-fragment": lambda text: "<td>≥ 1.7</td>" in text,
    }  # fmt: skip
    assert set(marks) == set(FORMS)
    for form, marked in marks.items():
        assert marked(export(bounded, form)), form
    build_report(bounded.path)
    for page in ("leaderboard.html", "models/row-9.html"):
        assert ">≥</span>" in (bounded.path / page).read_text(encoding="utf-8")
    save_table(bounded.path, bounded.run)
    stored = csv.DictReader((bounded.path / "leaderboard.csv").read_text().splitlines())
    assert next(row for row in stored if row["name"] == "CRC")["lower_bounds"] == "macs flops activations"
