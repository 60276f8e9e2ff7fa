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
from harness.report import load_run
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
