"""The table of models by data set, made from small runs that hold the figures of the LRSRN poster."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import UsageError
from harness.report import load_run
from harness.report.pivot import export_pivot, pivot_by_dataset
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry

DATASETS = ["Set5", "Set14", "B100", "Urban100", "DIV2K"]
MEASURES = {"psnr_rgb": "psnr_rgb_dB", "ssim_rgb": "ssim"}

Make = Callable[..., RunFolder]


@pytest.fixture
def make(fake_run: Path) -> Make:
    """Return a function that makes a run from figures by model."""
    template = load_run(fake_run)

    def run(scale: int, dataset: str, figures: dict[str, tuple[float, float]], **info: str) -> RunFolder:
        rows = [
            Entry(
                name=name, kind="baseline" if name == "Bicubic" else "submission", status="ok", slug=name.lower(),
                params=None if name == "Bicubic" else 1000 * (at + 1), psnr_rgb=psnr, psnr_y=psnr + 2, ssim_rgb=ssim,
                ssim_y=ssim,
            )
            for at, (name, (psnr, ssim)) in enumerate(figures.items())
        ]  # fmt: skip
        update = {
            "entries": rows,
            "run": template.run.run.model_copy(update={"id": f"{dataset}-x{scale}", **info}),
            "track": template.run.track.model_copy(update={"scale": scale}),
            "dataset": template.run.dataset.model_copy(update={"name": dataset}),
            "comparisons": [],
        }
        return RunFolder(template.path, template.run.model_copy(update=update))

    return run


@pytest.fixture
def poster(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "published" / "lrsrn_poster_benchmarks_jpeg90.csv")


def poster_runs(make: Make, poster: pd.DataFrame) -> list[RunFolder]:
    runs = []
    for scale in (2, 3):
        part = poster[poster["scale"] == f"x{scale}"].set_index("model")
        for name in DATASETS:
            pairs = zip(part[f"{name}_psnr_rgb_dB"], part[f"{name}_ssim"], strict=True)
            runs.append(make(scale, name, dict(zip(part.index, pairs, strict=True))))
    return runs


def test_the_poster_is_reproduced(make: Make, poster: pd.DataFrame) -> None:
    """Every printed cell is the poster's; best and second are those that pandas finds."""
    text = export_pivot(pivot_by_dataset(poster_runs(make, poster), highlight=["LRSRN"]), "latex", whole=False)
    body = text.split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    lines = [line.replace(r"\rowcolor{gray!15} ", "") for line in body.splitlines() if "&" in line]
    assert len(lines) == len(poster) == 14
    assert text.count(r"\rowcolor") == 2
    for line in lines:
        scale, model, _, *cells = [cell.strip() for cell in line.removesuffix(r"\\").split("&")]
        part = poster[poster["scale"] == scale.replace(r"$\times$", "x")]
        rivals = part[part["model"] != "Bicubic"]
        own = part[part["model"] == model].iloc[0]
        for name, cell in zip(DATASETS, cells, strict=True):
            for printed, column, digits in zip(cell.split(" / "), ("psnr_rgb_dB", "ssim"), (2, 4), strict=True):
                values = rivals[f"{name}_{column}"]
                place = values.rank(method="dense", ascending=False)[own.name] if model != "Bicubic" else 9
                number = f"{own[f'{name}_{column}']:.{digits}f}"
                assert printed == {1: rf"\textbf{{{number}}}", 2: rf"\underline{{{number}}}"}.get(place, number)


def test_rows_are_ordered_and_scales_are_separated(make: Make, poster: pd.DataFrame) -> None:
    text = export_pivot(pivot_by_dataset(poster_runs(make, poster)), "markdown")
    rows = [line.split(" | ") for line in text.splitlines()[2:16]]
    assert [row[0] for row in rows] == ["| x2"] * 7 + ["| x3"] * 7
    assert rows[0][1] == rows[7][1] == "Bicubic"
    first = [float(re.sub(r"[^\d.]", "", row[3].split(" / ")[0])) for row in rows[1:7]]
    assert first == sorted(first)


def test_data_holds_all_digits(make: Make) -> None:
    runs = [make(2, "Set5", {"A": (30.123456, 0.9)}), make(2, "Set14", {"B": (29.0, 0.8)})]
    rows = list(csv.DictReader(io.StringIO(export_pivot(pivot_by_dataset(runs, ["psnr_rgb"]), "csv"))))
    assert [(row["model"], row["dataset"], row["psnr_rgb"]) for row in rows] == [
        ("B", "Set5", ""), ("B", "Set14", "29.0"), ("A", "Set5", "30.123456"), ("A", "Set14", ""),
    ]  # fmt: skip
    page = export_pivot(pivot_by_dataset(runs), "html-fragment")
    assert page.count("<tr>") == 4
    assert "\N{EN DASH}" in page


def test_runs_that_do_not_belong_together_are_refused(make: Make) -> None:
    one = make(2, "Set5", {"A": (30.0, 0.9)})
    with pytest.raises(UsageError, match="both measured Set5 at scale 2"):
        pivot_by_dataset([one, one])
    with pytest.raises(UsageError, match="different conventions"):
        pivot_by_dataset([one, make(2, "Set14", {"A": (30.0, 0.9)}, convention="another")])
    with pytest.raises(UsageError, match="no model 'Z'"):
        pivot_by_dataset([one], highlight=["Z"])
    with pytest.raises(UsageError, match="psnr_rgb"):
        pivot_by_dataset([one], ["beauty"])
    with pytest.raises(UsageError, match="paper"):
        export_pivot(pivot_by_dataset([one]), "paper")
