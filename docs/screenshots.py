"""Take the pictures of the documentation anew: ``python docs/screenshots.py RUN [OTHER_RUN]``.

Needs Chromium and playwright. RUN is a run whose leaderboard is shown; with OTHER_RUN, an earlier one, the comparison
is shown too.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from harness.report import build_report, load_run
from harness.report.compare import build_comparison
from harness.report.rows import scored_rows

OUT = Path(__file__).parent / "images"


def shoot(browser: Browser, page: Path, name: str, width: int, height: int, theme: str) -> None:
    """Write one picture, in 128 colours so that it stays small."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    opened = context.new_page()
    opened.goto(page.resolve().as_uri())
    picture = Image.open(io.BytesIO(opened.screenshot()))
    picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(OUT / f"{name}.png", optimize=True)
    context.close()


def main(run: Path, other: Path | None) -> None:
    """Write all pictures."""
    OUT.mkdir(exist_ok=True)
    board = build_report(run)
    best = next(row for row in scored_rows(load_run(run)) if not row.baseline)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for theme in ("light", "dark"):
            shoot(browser, board, f"leaderboard-{theme}", 1280, 1100, theme)
            shoot(browser, run / best.page, f"model-{theme}", 1280, 1000, theme)
        shoot(browser, board, "leaderboard-phone", 390, 844, "light")
        if (run / "pixels.html").is_file():
            shoot(browser, run / "pixels.html", "pixels", 1280, 1000, "light")
        if other is not None:
            shoot(browser, build_comparison(other, run), "comparison", 1280, 800, "light")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
