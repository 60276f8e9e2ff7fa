"""Take the pictures of the report in docs/images anew, and draw the figures for papers, from the folder of a run.

Run from the checkout: python docs/screenshots.py reports/sample [--model LRSRN] [--before reports/earlier]

Needs Playwright and Chromium. The comparison is with another run, or with a copy of the run in which two runtimes are
changed where no other is at hand; it is built in a folder of its own, so that the run's folder stays as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from harness.analysis.compare_runs import compare_runs
from harness.report.compare import build_comparison
from harness.report.page import build_report
from harness.results import read_run
from harness.results.run_folder import load_run

IMAGES = Path(__file__).resolve().parent / "images"
FIGURES = {
    "figure-scatter": "--x runtime --y psnr_y --width 3.3in --highlight {model}",
    "figure-crops": "--crops {crop} --models Bilinear ALONG RT4KSR SESR {model} --highlight {model}",
}
"""Options of `harness figure` for each figure."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: of which page, in which theme, width and height of the window in CSS pixels."""

    name: str
    page: Path
    theme: str = "light"
    width: int = 1280
    height: int = 1000
    script: str = ""


def shots(run: Path, model: str, comparison: Path) -> list[Shot]:
    """Return every picture that the documentation shows."""
    board, one, pixels = run / "leaderboard.html", run / "models" / f"{model}.html", run / "pixels.html"
    # Half of the rows within a limit, one of them selected.
    limit = "board.limit('runtime_ms', 400); board.pick(board.key(board.rows[2]), false)"
    error = "document.querySelector('[name=error]').click()"
    figures = "document.querySelector('.figures').previousElementSibling.scrollIntoView({ behavior: 'instant' })"
    return [
        Shot("leaderboard-light", board, height=800),
        Shot("leaderboard-dark", board, "dark", height=800),
        Shot("leaderboard-phone", board, width=390, height=1300),
        Shot("plot", board, width=1440, height=800, script=limit),
        Shot("figures", board, height=1100, script=figures),
        Shot("model-light", one, height=1500),
        Shot("model-dark", one, "dark", height=1500),
        Shot("model-phone", one, width=390, height=1300),
        Shot("comparison", comparison, height=700),
        Shot("comparison-dark", comparison, "dark", height=700),
        Shot("comparison-phone", comparison, width=390, height=900),
        Shot("pixels", pixels, height=1100),
        Shot("pixels-error", pixels, "dark", height=1000, script=error),
    ]


def take(browser: Browser, shot: Shot) -> Path:
    """Open a page from disk and keep what its window shows, at most as much as there is."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.theme, offline=True
    )
    page = context.new_page()
    page.goto(shot.page.resolve().as_uri())
    page.wait_for_timeout(1000)  # for the plot
    if shot.script:
        page.evaluate(shot.script)
    page.wait_for_timeout(1500)
    target = IMAGES / f"{shot.name}.png"
    page.screenshot(path=str(target))
    context.close()
    return target


def draw_figures(run: Path, model: str) -> None:
    """Draw the figures for papers; the crop is the middle of the first one that the run keeps."""
    first = json.loads((run / "crops" / "crops.json").read_text(encoding="utf-8"))[0]
    corner = (first["x"] + first["width"] // 6, first["y"] + first["height"] // 6)
    crop = f"{first['image']}:{corner[0]},{corner[1]},{2 * first['width'] // 3}"
    for name, options in FIGURES.items():
        words = options.format(model=model, crop=crop).split()
        subprocess.run(
            [sys.executable, "-m", "harness", "figure", str(run), *words, "-o", str(IMAGES / f"{name}.png")], check=True
        )


def earlier_run(run: Path, folder: Path) -> Path:
    """Write a copy of a run in which one model was slower, one faster, and one was not there."""
    results = read_run(run).model_dump(mode="json")
    timed = [row for row in results["entries"] if row["rank"]]
    for row, factor in zip(timed[1:3], (1.3, 0.8), strict=False):
        runtime = row["runtime_ms"]
        runtime |= {key: runtime[key] * factor for key in ("median", "mean", "p95")}
        runtime["ci"] = [value * factor for value in runtime["ci"]]
        row["score"] /= factor**0.5
        row["score_ci"] = [value / factor**0.5 for value in row["score_ci"]]
    results["entries"].remove(timed[-1])
    results["run"]["id"] = "before"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    if (run / "per_image.csv").is_file():
        shutil.copy(run / "per_image.csv", folder / "per_image.csv")
    return folder


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", default="LRSRN", help="slug of the model whose page is shown")
    parser.add_argument("--before", type=Path, help="run to compare with")
    options = parser.parse_args()
    draw_figures(options.run, options.model)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as play:
        run = Path(shutil.copytree(options.run, Path(scratch) / options.run.resolve().name))
        build_report(run)
        before = options.before or earlier_run(run, Path(scratch) / "before")
        comparison = build_comparison(compare_runs(load_run(before), load_run(run)), run / "compare.html")
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for shot in shots(run, options.model, comparison):
            if shot.page.is_file():
                print(take(browser, shot))
        browser.close()


if __name__ == "__main__":
    main()
