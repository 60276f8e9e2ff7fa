"""The leaderboard page of a run: one file, no network, no script of anybody else's."""

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.report.bands import BANDS
from harness.report.columns import columns_of
from harness.report.drawing import render
from harness.report.figures import Drawn, draw_figures
from harness.report.folder import RunFolder, load_run
from harness.report.numbers import binary_size, fixed
from harness.report.palette import PAPER
from harness.report.rows import Row, scored_rows, unscored_rows
from harness.report.rules import metric_of, score_of
from harness.report.svg import for_page
from harness.results.schema import Run
from harness.results.store import write_atomically

PAGE = "leaderboard.html"
SCRIPTS = ("theme.js", "table.js", "copy.js", "marks.js")


def build_report(run_dir: Path) -> Path:
    """Write ``leaderboard.html`` into a run's folder; the same results give the same bytes.

    Parameters
    ----------
    run_dir
        A run's folder with ``results.json`` and, where there are, ``per_image.csv``, ``samples/`` and ``logs/``.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ResultsError
        The results are missing or cannot be read, or the page cannot be written.
    """
    folder = load_run(run_dir)
    page = folder.path / PAGE
    write_atomically(page, leaderboard(folder).encode("utf-8"))
    return page


def leaderboard(folder: RunFolder) -> str:
    """Return the leaderboard as HTML."""
    run, rows = folder.run, scored_rows(folder)
    return environment().get_template("leaderboard.html").render(
        run=run,
        columns=columns_of(run),
        rows=rows,
        unscored=unscored_rows(folder),
        summary=summary(run, rows),
        top_score=max((row.entry.score_ci or (0, row.entry.score or 0))[1] for row in rows) if rows else 0.0,
        figures=[(drawn, on_page(drawn)) for drawn in draw_figures(run, rows, score_of(run), metric_of(run))],
        bands=BANDS,
        script=script(SCRIPTS),
        script_hash=script_hash(SCRIPTS),
    )  # fmt: skip


def summary(run: Run, rows: list[Row]) -> list[tuple[str, str, str]]:
    """Return what to know at a glance, as (label, figure, remark)."""
    ranked = [row for row in rows if not row.baseline]
    facts = [("Submissions", str(sum(e.kind == "submission" for e in run.entries)), _losses(run))]
    scored = [row for row in ranked if row.entry.score is not None]
    if scored:
        best = scored[0]
        score = next(column for column in columns_of(run) if column.key == "score")
        facts.append(("Best score", score.text(best.entry), best.entry.name))
    facts += _best(ranked, "Highest PSNR", lambda row: row.entry.psnr_rgb, 2, "dB")
    facts += _best(ranked, "Fastest", lambda row: -row.runtime if row.runtime else None, 2, "ms")
    return facts


def _losses(run: Run) -> str:
    counts = [
        (state, sum(e.status == state for e in run.entries)) for state in ("failed", "disqualified", "unsupported")
    ]
    return ", ".join(f"{count} {state}" for state, count in counts if count) or "all measured"


def _best(
    rows: list[Row], label: str, value: Callable[[Row], float | None], digits: int, unit: str
) -> list[tuple[str, str, str]]:
    known = [(number, row) for row in rows if (number := value(row)) is not None]
    if not known:
        return []
    number, row = max(known, key=lambda pair: pair[0])
    return [(label, f"{fixed(abs(number), digits)} {unit}", row.entry.name)]


def on_page(drawn: Drawn) -> Markup:
    """Return a figure as HTML."""
    drawing = render(drawn.figure, "svg").decode("utf-8")
    element = for_page(drawing, drawn.name, drawn.title, drawn.description, drawn.targets)
    return Markup(element)  # noqa: S704  (serialised XML, text escaped there)


@cache
def environment() -> Environment:
    """Return the templates; everything put into them is escaped."""
    loader = PackageLoader("harness.report")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"fixed": fixed, "binary_size": binary_size}
    made.globals |= {"hues": PAPER}
    return made


@cache
def script(names: tuple[str, ...]) -> Markup:
    """Return our own scripts, one after the other, to stand between ``<script>`` tags."""
    loader = PackageLoader("harness.report")
    return Markup("\n".join(loader.get_source(environment(), name)[0] for name in names))  # noqa: S704  (our own files)


def script_hash(names: tuple[str, ...]) -> str:
    """Return the hash that lets the page's security policy run these scripts and no other."""
    digest = hashlib.sha256(str(script(names)).encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
