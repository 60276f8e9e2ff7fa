"""A run with every kind of caveat: each export keeps them all. The golden files were read before they were committed.

Write them anew, and read the difference, with: HARNESS_GOLDEN=write python -m pytest tests/report/test_caveats.py
"""

import csv
import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.report import load_run
from harness.report.caveats import why_unsettled
from harness.report.columns import columns_of
from harness.report.exports import export
from harness.report.pairs import p_text
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry, Published, Run, Runtime

GOLDEN = Path(__file__).parent / "golden"
FORMS = {"csv": "csv", "json": "json", "markdown": "md", "latex": "tex", "html-fragment": "html"}


def entry(name: str, score: float, ms: float, **changes: object) -> Entry:
    settled = bool(changes.pop("settled", True))
    runtime = Runtime(
        median=ms, mean=ms, ci=(0.98 * ms, 1.03 * ms), p95=1.1 * ms, samples=244 if settled else 7, stable=settled,
        note=None if settled else "foreign load",
    )  # fmt: skip
    return Entry(
        **{
            "name": name, "team": "T", "kind": "submission", "status": "ok", "slug": name.lower(), "score": score,
            "score_ci": (0.95 * score, 1.04 * score), "params": 12_345, "macs": 10**10, "flops": 2 * 10**10,
            "runtime_ms": runtime, "fps": 1000 / ms, "psnr_rgb": 30.0 + score / 100, "psnr_y": 32.0, "ssim_rgb": 0.88,
            "ssim_y": 0.9, "delta_psnr_bicubic": 0.5, **changes,
        }
    )  # fmt: skip


def whole_run(template: Run) -> Run:
    """Return a run in which each row has a caveat of its own."""
    rows = [
        entry("Settled", 21.0, 4.0, rank=1, rank_range=(1, 2), tied_with=["hasty"]),
        entry("Hasty", 20.5, 3.0, rank=2, rank_range=(1, 3), tied_with=["settled", "solved"], settled=False),
        entry("Solved", 18.0, 6.0, rank=3, rank_range=(2, 3), tied_with=["hasty"], reconstructed=True),
        entry("Uncounted", 11.0, 9.0, rank=4, rank_range=(4, 4), incomplete_ops=["custom::warp"], macs=10**8),
        entry("Barred", 9.0, 9.5, failed_gates=["psnr_test >= 31: 30.09"], notes=["input padded to a multiple of 3"]),
        entry("Bicubic", 0.0, 1.0, kind="baseline", score_ci=(0.0, 0.0)),
    ]
    info = template.run.model_copy(update={"complete": False})
    warnings = ["the machine was busy: 79 % foreign load", "processes differ by 42 %"]
    return template.model_copy(update={"run": info, "entries": rows, "warnings": warnings, "comparisons": []})


@pytest.fixture(scope="module")
def folder(fake_run: Path) -> RunFolder:
    template = load_run(fake_run)
    return RunFolder(template.path, whole_run(template.run))


@pytest.mark.parametrize("form", FORMS)
def test_exports_equal_their_golden_files(folder: RunFolder, form: str) -> None:
    text = export(folder, form, ci=True)
    golden = GOLDEN / f"caveats.{FORMS[form]}"
    if os.environ.get("HARNESS_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["markdown", "latex", "html-fragment"])
def test_printed_tables_keep_every_caveat(folder: RunFolder, form: str) -> None:
    text = export(folder, form, ci=True)
    signs = (r"\dagger", r"\ddagger", r"\S", r"\geq") if form == "latex" else ("†", "‡", "§", "≥")
    for sign in signs:
        assert text.count(sign) >= 2  # at the figure, and explained below
    for words in (
        "not settled",
        "reconstructed",
        "not ranked",
        "lower bound",
        "Tied with",
        "interrupted",
        "foreign load",
    ):
        assert words in text
    assert "[3.92, 4.12]" in text
    assert "[3.92, 4.12]" not in export(folder, form)


def test_data_has_columns_for_caveats(folder: RunFolder) -> None:
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(export(folder, "csv")))}
    assert rows["Hasty"]["runtime_settled"] == "False"
    assert rows["Hasty"]["runtime_note"] == "foreign load"
    assert rows["Hasty"]["tied_with"] == "settled solved"
    assert float(rows["Settled"]["runtime_ci_low"]) == pytest.approx(3.92)
    assert float(rows["Settled"]["score_ci_high"]) == pytest.approx(21.84)
    assert rows["Solved"]["reconstructed"] == "True"
    assert rows["Uncounted"]["lower_bounds"] == "macs_g"
    assert rows["Barred"]["failed_gates"].startswith("psnr_test")


def test_a_quiet_run_has_no_notes(folder: RunFolder) -> None:
    info = folder.run.run.model_copy(update={"complete": True})
    rows = [entry("One", 21.0, 4.0, rank=1), entry("Two", 9.0, 4.5, rank=2)]
    quiet = folder.run.model_copy(update={"run": info, "entries": rows, "warnings": []})
    text = export(RunFolder(folder.path, quiet), "markdown")
    assert text.splitlines()[-1].startswith("| 2 |")


def test_latex_with_every_caveat_compiles(folder: RunFolder, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    (tmp_path / "table.tex").write_text(export(folder, "latex", ci=True), encoding="utf-8")
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_published_rows_are_told_apart(fake_run: Path) -> None:
    folder = load_run(fake_run)
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(export(folder, "csv", published=True)))}
    stated = rows["LRSRN (published)"]
    assert (stated["published"], rows["LRSRN"]["published"]) == ("True", "False")
    assert (stated["rank"], stated["runtime_ms"], stated["params_k"], stated["ssim_rgb"]) == ("", "9.77", "41.4", "")
    assert stated["notes"] == "CVPRW 2023 poster"
    text = export(folder, "markdown", ["runtime_ms"], ci=True, published=True)
    (line,) = [line for line in text.splitlines() if "LRSRN (published)" in line]
    assert line == "|  |  |  | LRSRN (published) | 9.77 |"  # neither an interval nor a place
    assert "another machine" in text
    plain, with_rows = export(folder, "markdown"), export(folder, "markdown", published=True)
    assert {line for line in plain.splitlines() if line.startswith("|")} <= set(with_rows.splitlines())


def test_times_of_other_machines_are_not_compared(fake_run: Path) -> None:
    assert "runtime_ms" not in compared(load_run(fake_run).run)


@pytest.mark.parametrize(
    ("dataset", "source", "same"),
    [("ntire23-test", "published", True), ("ntire23-validation", "published", False), ("embedded", "measured", False)],
)
def test_quality_on_other_images_is_not_compared(fake_run: Path, dataset: str, source: str, same: bool) -> None:
    run = load_run(fake_run).run
    track = run.track.model_copy(update={"bicubic_source": source})
    run = run.model_copy(update={"track": track, "dataset": run.dataset.model_copy(update={"name": dataset})})
    assert compared(run) == {"params_k", "macs_g", *(["psnr_rgb"] if same else [])}


def compared(run: Run) -> set[str]:
    """Return the columns whose difference from what LRSRN's authors state is shown."""
    (lrsrn,) = [entry for entry in run.entries if entry.name == "LRSRN"]
    stated = Published(params_k=41.4, macs_g=85.4, runtime_ms=9.77, psnr_val=32.83, psnr_test=34.63, score=24.0)
    lrsrn = lrsrn.model_copy(update={"published": stated})
    return {column.key for column in columns_of(run) if column.difference_text(lrsrn)}


@pytest.mark.parametrize(
    ("samples", "ci", "stable", "said"),
    [
        (139, (209.7, 214.6), False, "its 95 % interval is ±1.2 %"),
        (3, (99.0, 101.0), False, "3 timed calls, and 10 are needed"),
        (1, (100.0, 100.0), False, "1 timed call, and 10 are needed"),
        (139, (209.7, 214.6), True, ""),
    ],
)
def test_the_reason_why_a_time_did_not_settle_is_its_own(
    samples: int, ci: tuple[float, float], stable: bool, said: str
) -> None:
    note = "4 rounds dropped"
    runtime = Runtime(median=212.1, mean=224.5, ci=ci, p95=271.7, samples=samples, stable=stable, note=note)
    assert why_unsettled(runtime) == said


def test_a_p_value_is_never_rounded_to_the_other_side_of_the_level() -> None:
    shown = {value: p_text(value) for value in (0.0004, 0.0496, 0.04999, 0.0504, 0.2, 1.0)}
    assert list(shown.values()) == ["< 0.001", "0.0496", "0.04999", "0.050", "0.200", "1.000"]
