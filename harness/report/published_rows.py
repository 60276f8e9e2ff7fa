"""Rows of the figures that authors state, shown among measured rows, marked and without a rank."""

from collections.abc import Sequence

from harness.report.rows import Row
from harness.results.schema import Entry, Runtime

SUFFIX = " (published)"


def with_published(rows: Sequence[Row]) -> list[Row]:
    """Return rows with, behind each one whose authors state figures, a row of these figures.

    The new rows have no rank, no interval and no place among the best: their images and their machine are other ones.
    """
    found: list[Row] = []
    for row in rows:
        found.append(row)
        stated = _stated(row.entry)
        if stated is not None:
            runtime = None if stated.runtime_ms is None else stated.runtime_ms.mean
            # The anchor of the measured row with a suffix: unique, since anchors are.
            found.append(Row(f"{row.anchor}p", stated, runtime, None, stated=True))
    return found


def _stated(entry: Entry) -> Entry | None:
    """Return the row of what the authors of a network state, or None if they state nothing."""
    paper = entry.published
    if paper is None:
        return None
    return Entry(
        name=f"{entry.name}{SUFFIX}",
        team=entry.team,
        kind=entry.kind,
        status="ok",
        score=paper.score,
        # That of the test set if there is one, else that of the validation set.
        psnr_rgb=paper.psnr_val if paper.psnr_test is None else paper.psnr_test,
        params=None if paper.params_k is None else round(1e3 * paper.params_k),
        macs=None if paper.macs_g is None else round(1e9 * paper.macs_g),
        runtime_ms=_runtime(paper.runtime_ms),
        fps=None if not paper.runtime_ms else 1e3 / paper.runtime_ms,
        notes=[text for text in (paper.source, paper.note) if text],
    )


def _runtime(milliseconds: float | None) -> Runtime | None:
    return None if milliseconds is None else Runtime.stated(milliseconds, "published")
