"""Measure the time to build, open, sort and filter the report of a large run.

Run from the checkout: python benchmarks/report.py [--submissions 500] [--rounds 5]

Results are synthetic, with values distributed as in a real run, six images, and layers and timed calls for each model.
The page is opened from disk in Chromium without network. For opening, the times from the start of navigation until the
page is interactive (`domInteractive`, after the page's script) and until the first contentful paint are reported; for
sorting and filtering, the time from the click until the new layout is computed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from harness.report.page import build_report
from harness.results import read_run

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ["balcony", "boats", "desert", "mountain", "patak", "landing"]
TIMED = """(script) => {
  const began = performance.now();
  new Function(script)();
  document.body.offsetHeight;
  return performance.now() - began;
}"""
OPENED = """() => ({
  usable: performance.getEntriesByType('navigation')[0].domInteractive,
  painted: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0,
})"""
ACTIONS = {
    "sort by PSNR": "document.querySelector('th[data-key=psnr_rgb] button').click()",
    "sort by name": "document.querySelector('th[data-key=model] button').click()",
    "filter by text": """const find = document.querySelector('[name=q]');
        find.value = find.value ? '' : 'Net-1';
        find.dispatchEvent(new Event('input', { bubbles: true }))""",
    "hide a column": "document.querySelector('[name=column][value=ssim_y]').click()",
}


def write_run(folder: Path, submissions: int) -> None:
    """Write a run with a given number of scored submissions; other fields are those of the sample run."""
    random = np.random.default_rng(1)
    run = read_run(ROOT / "reports" / "sample").model_dump(mode="json")
    bicubic = run["track"]["bicubic_psnr"]
    run["dataset"] |= {"image_names": IMAGES, "images": len(IMAGES)}
    baselines = [entry for entry in run["entries"] if entry["kind"] == "baseline"]
    entries = sorted((entry(index, random, bicubic) for index in range(submissions)), key=lambda row: -row["score"])
    for rank, one in enumerate(entries, 1):
        one["rank"] = rank
    run["entries"] = [*entries, *baselines]
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(run))
    write_evidence(folder, run["entries"], random)


def entry(index: int, random: np.random.Generator, bicubic: float) -> dict[str, object]:
    """Return one synthetic row."""
    ms, gain = float(10 ** random.uniform(0, 2.5)), float(random.uniform(-0.1, 1.4))
    params = int(10 ** random.uniform(3.5, 6))
    score = 0.0 if gain <= 0 else float(2**gain * 2 / (0.1 * ms**0.5))
    return {
        "name": f"Net-{index:03d}", "team": f"Team {index % 37}", "kind": "submission", "status": "ok",
        "slug": f"net-{index:03d}", "score": score, "score_ci": [score * 0.98, score * 1.02], "params": params,
        "macs": params * 2_073_600, "flops": params * 4_147_200,
        "runtime_ms": {"median": ms, "mean": ms, "ci": [ms * 0.98, ms * 1.02], "p95": ms * 1.1, "samples": 244,
                       "stable": True},
        "fps": 1e3 / ms, "psnr_rgb": bicubic + gain, "psnr_y": bicubic + gain + 2.7, "ssim_rgb": 0.83 + gain / 50,
        "ssim_y": 0.87 + gain / 50, "delta_psnr_bicubic": gain,
    }  # fmt: skip


def write_evidence(folder: Path, entries: list[dict[str, object]], random: np.random.Generator) -> None:
    """Write quality per image, timed calls and layers of each row."""
    (folder / "samples").mkdir()
    (folder / "layers").mkdir()
    lines = ["slug,image,psnr_rgb,psnr_y,ssim_rgb,ssim_y"]
    for row in entries:
        offsets = random.normal(0, 1.5, len(IMAGES))
        psnr = float(row["psnr_rgb"])  # type: ignore[arg-type]
        lines += [
            f"{row['slug']},{image},{psnr + by:.6f},{psnr + by + 2.7:.6f},0.83,0.87"
            for image, by in zip(IMAGES, offsets, strict=True)
        ]
        times = 10 * (1 + 0.01 * random.standard_normal(244))
        samples = [[at / 100, round(float(ms), 6)] for at, ms in enumerate(times)]
        record = {"slug": row["slug"], "clock": "monotonic clock", "warmup": [], "samples": samples}
        (folder / "samples" / f"{row['slug']}.json").write_text(json.dumps(record))
        layer = {"name": "body", "type": "Conv2d", "kernel": [3, 3], "in_channels": 16, "out_channels": 16,
                 "output_shape": [1, 16, 1080, 1920], "params": 2320, "macs": 4_777_574_400, "calls": 1}  # fmt: skip
        (folder / "layers" / f"{row['slug']}.json").write_text(json.dumps([layer] * 12))
    (folder / "per_image.csv").write_text("\n".join(lines) + "\n")


def measure_page(page: Page, board: Path, rounds: int) -> dict[str, list[float]]:
    """Open and use the page several times; return times in milliseconds by action."""
    found: dict[str, list[float]] = {"usable": [], "first paint": []}
    for _ in range(rounds):
        page.goto("about:blank")
        page.goto(board.as_uri())
        page.wait_for_timeout(300)
        opened = page.evaluate(OPENED)
        found["usable"].append(opened["usable"])
        found["first paint"].append(opened["painted"])
        for name, script in ACTIONS.items():
            found.setdefault(name, []).append(page.evaluate(TIMED, script))
    return found


def main() -> None:
    """Run the benchmark and print its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        write_run(folder, options.submissions)
        began = time.perf_counter()
        board = build_report(folder)
        print(f"{options.submissions} submissions: built in {time.perf_counter() - began:.1f} s", flush=True)
        pages = list(folder.rglob("*.html"))
        print(f"{len(pages)} pages, the leaderboard {board.stat().st_size / 1e6:.2f} MB")
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
            for name, times in measure_page(page, board, options.rounds).items():
                print(f"{name:>16}: median {statistics.median(times):6.0f} ms, worst {max(times):6.0f} ms")
            browser.close()


if __name__ == "__main__":
    main()
