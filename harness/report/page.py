"""The leaderboard page of a run: one file that loads nothing from the network."""

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.report.assets import FOLDER, LIBRARY, write_assets
from harness.report.backend_table import NOTES, backend_table
from harness.report.bands import bands_of
from harness.report.citation import run_bibtex
from harness.report.columns import Column, columns_of, has_log_scores, score_column
from harness.report.drawing import Drawn, render
from harness.report.explore import explore_data
from harness.report.failures import by_cause
from harness.report.figures import draw_figures
from harness.report.images import heat_map, step_labels
from harness.report.model import ModelContext, model_page, page_path
from harness.report.pairs import pair_matrix
from harness.report.pixels import PAGE as PIXELS
from harness.report.pixels import Piece, crop_links, pieces, pixels_page
from harness.report.rebuild import PAGE
from harness.report.row_figures import row_figures
from harness.report.rows import Row, scored_rows, unscored_rows
from harness.report.rules import NAMES, metric_of, score_of
from harness.report.site import page, write_page
from harness.report.svg import on_page
from harness.report.verdict import verdict
from harness.results.failure_groups import group_failures
from harness.results.ranks import why_no_rank
from harness.results.run_folder import RunFolder, load_run
from harness.results.schema import Entry, Run
from harness.statistics.disturbances import disturbances_of

MAX_UNSCORED = 200
"""Number of rows without a score that the page lists; of the others it gives their number by reason."""
_MAX_REASONS = 50
SCRIPTS = ("theme.js", "menus.js", "table.js", "select.js", "copy.js", "marks.js", "explore.js", "handles.js")


def build_report(run_dir: Path) -> Path:
    """Write ``leaderboard.html`` and a page per model into a run's folder; the same results give the same bytes.

    Parameters
    ----------
    run_dir
        A run's folder with ``results.json`` and, where there are, ``per_image.csv``, ``samples/`` and ``logs/``.

    Returns
    -------
    Path
        The leaderboard.

    Raises
    ------
    ResultsError
        The results are missing or cannot be read, or a page cannot be written.
    """
    folder = load_run(run_dir)
    scored, unscored = scored_rows(folder), unscored_rows(folder)
    columns = columns_of(folder.run)  # once: the decimals of a column depend on the figures of all rows
    found = pieces(folder, scored)
    context = ModelContext(folder, columns, crop_links(folder, found))
    # A page for each row that the leaderboard lists.
    for rows in (scored, unscored[:MAX_UNSCORED]):
        for position, row in enumerate(rows):
            if row.page:
                write_page(folder.path / page_path(row.entry), model_page(context, rows, position))
    if found:
        write_page(folder.path / PIXELS, pixels_page(folder, found))
    board = folder.path / PAGE
    write_page(board, leaderboard(folder, scored, unscored, found))
    # After the pages, which work without the library.
    write_assets(folder.path)
    return board


def leaderboard(folder: RunFolder, rows: Sequence[Row], unscored: Sequence[Row], found: Sequence[Piece]) -> str:
    """Return the leaderboard as HTML, with links to the crops that were `found`."""
    run = folder.run
    drawn = all_figures(folder, rows)
    # The first figure stands beside the table and is replaced by the interactive plot, the others follow below.
    figures = {one.name: (one, on_page(one)) for one in drawn}
    return page(
        "leaderboard.html",
        SCRIPTS,
        run=run,
        columns=columns_of(run),
        rows=rows,
        verdict=verdict(run),
        disturbances=disturbances_of(folder),
        citation=run_bibtex(run),
        pairs=pair_matrix(run, rows),
        backends=backend_table(run),
        backend_notes=NOTES,
        linked={row.entry.slug: row for row in (*rows, *unscored[:MAX_UNSCORED])},
        unscored=unscored[:MAX_UNSCORED],
        causes=by_cause(unscored[:MAX_UNSCORED]),
        hidden=hidden_failures([row.entry for row in unscored[MAX_UNSCORED:]]),
        summary=summary(run, rows),
        top_score=_top_score(rows),
        first_figure=figures.pop("psnr-runtime", None),
        figures=list(figures.values()),
        explore=explore_data(run, drawn),
        library=f"{FOLDER}/{LIBRARY}",
        bands=bands_of(run.track.fps_bands),
        pixels=bool(found),
        links=crop_links(folder, found),
        heat=heat_map(folder, [row for row in rows if not row.entry.variant_of]),
        psnr=NAMES[metric_of(run)],
        steps=step_labels(),
    )


def _top_score(rows: Sequence[Row]) -> float:
    """Return the score of the longest bar; 0 for no bars, where scores are known by their logarithms."""
    if has_log_scores(row.entry for row in rows):
        return 0.0
    # As long as the largest upper end of an interval permits.
    return max(((row.entry.score_ci or (0, row.entry.score or 0))[1] for row in rows), default=0.0)


def hidden_failures(entries: Sequence[Entry]) -> list[str]:
    """Return in words how many rows that are not listed have no score for which reason, at most fifty reasons."""
    groups = sorted(group_failures(entries), key=lambda group: -len(group.entries))
    lines = [f"{len(one.entries)} {one.status} at {one.stage}: {one.reason}" for one in groups[:_MAX_REASONS]]
    rest = sum(len(group.entries) for group in groups[_MAX_REASONS:])
    return [*lines, f"{rest} for other reasons"] if rest else lines


def summary(run: Run, rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Return the key figures at the top of the page, as (label, figure, remark)."""
    columns = {column.key: column for column in columns_of(run)}
    # A network on several backends counts once, by its row on the first one.
    submissions = [row for row in rows if not row.baseline and not row.entry.variant_of]
    own = [entry for entry in run.entries if not entry.variant_of]
    facts = [("Submissions", str(sum(entry.kind == "submission" for entry in own)), _losses(own))]
    ranked = [row for row in submissions if row.entry.rank is not None]
    reason = why_no_rank(run)
    if ranked:
        best = min(ranked, key=lambda row: row.entry.rank or 0).entry
        score = score_column(run)
        facts.append((f"Best {'log10 ' if score.key == 'score_log10' else ''}score", score.text(best), best.name))
    elif reason is not None:
        facts.append(("Best score", "none", reason))
    # That which the track scores, as on the axes of the figures.
    psnr = columns[metric_of(run)]
    facts += _extreme(f"Highest {psnr.title}", psnr, submissions, max)
    facts += _extreme("Fastest", columns["runtime_ms"], submissions, min)
    return facts


def _losses(entries: Sequence[Entry]) -> str:
    states = ("failed", "disqualified", "unsupported")
    counts = [(state, sum(entry.status == state for entry in entries)) for state in states]
    return ", ".join(f"{count} {state}" for state, count in counts if count) or "all measured"


def _extreme(
    label: str, column: Column, rows: Sequence[Row], choose: Callable[..., tuple[float, int]]
) -> list[tuple[str, str, str]]:
    # With the place, so that entries themselves are never compared.
    known = [(value, place) for place, row in enumerate(rows) if (value := column.value(row.entry)) is not None]
    if not known:
        return []
    entry = rows[choose(known)[1]].entry
    return [(label, f"{column.text(entry)} {column.unit}", entry.name)]


def all_figures(folder: RunFolder, rows: Sequence[Row]) -> list[Drawn]:
    """Return every figure of a run."""
    run = folder.run
    return [*draw_figures(run, rows, score_of(run), metric_of(run)), *row_figures(folder, rows)]


def build_figures(run_dir: Path) -> list[Path]:
    """Write every figure of a run into its folder ``figures/``, as SVG, PDF and PNG for print.

    Returns
    -------
    list of Path
        The files, of which the same results give the same bytes with the same version of matplotlib.

    Raises
    ------
    ResultsError
        The results are missing or cannot be read, or a figure cannot be written.
    """
    folder = load_run(run_dir)
    written = []
    for drawn in all_figures(folder, scored_rows(folder)):
        for kind in ("svg", "pdf", "png"):
            path = folder.path / "figures" / f"{drawn.name}.{kind}"
            write_page(path, render(drawn.figure, kind, paper=True))
            written.append(path)
    return written
