"""The skeleton of the organisers' paper: tables in the form of the NTIRE 2023 report, figures, and the protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from harness.errors import ResultsError, UsageError
from harness.report.bands import Band, bands_of
from harness.report.caveats import BOUND, UNSETTLED, is_unsettled, notes
from harness.report.columns import Column, columns_of
from harness.report.drawing import STYLE, render
from harness.report.figures import psnr_runtime
from harness.report.latex import escaped, footnotes, printed_name
from harness.report.palette import PAPER
from harness.report.pixels import Piece, pieces
from harness.report.rows import Row, scored_rows, unscored_rows
from harness.report.rules import metric_of, score_of
from harness.report.site import write_page
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry, Reparam, Run

FILE_NAME = "paper.tex"
RESULT_COLUMNS = ("score", "psnr_rgb", "psnr_y", "ssim_rgb", "params_k", "macs_g", "runtime_ms")
"""Columns of the table of results, in the order of the 2023 report."""
_MARK = "% SHA-256 of the lines above, by which the harness knows that nobody has edited them: "
_ELSEWHERE = "export into another folder with -o, or move it away"
_MOST_SHOTS = 8
_SHOTS_A_LINE = 4
_BOUND = f"{BOUND.latex} "


class Tex(str):
    """Text that is LaTeX already; the template escapes all other text."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of the qualitative figure."""

    file: str
    title: str
    figure: str


def write_paper(folder: RunFolder, target: Path) -> list[Path]:
    """Write ``paper.tex`` and its figures.

    Parameters
    ----------
    folder
        A run.
    target
        Folder to write to; files of an earlier call are replaced, unless ``paper.tex`` was edited since.

    Returns
    -------
    list of Path
        The files, ``paper.tex`` first. It compiles with pdfLaTeX as it is.

    Raises
    ------
    UsageError
        A ``paper.tex`` is there that is not as it was written. Nothing is replaced then.
    ResultsError
        The results are damaged, or the folder cannot be written.
    """
    _require_unedited(target / FILE_NAME)
    rows = scored_rows(folder)
    figures = target / "figures"
    plot = _write_plot(folder, rows, figures)
    # The first one in the order of the page: one that was asked for, or the one with the largest dispute.
    piece = next(iter(pieces(folder, [row for row in rows if not row.baseline])), None)
    shots = [] if piece is None else _write_shots(folder, piece, figures)
    text = _text(folder, rows, plot=plot, piece=piece, shots=shots).rstrip("\n") + "\n"
    write_page(target / FILE_NAME, f"{text}{_MARK}{_digest(text)}\n")
    # The plot is a PDF file, crops are PNG files.
    return [target / FILE_NAME, *sorted(figures.glob("*.p*"))]


def _require_unedited(file: Path) -> None:
    """Check that no work of the authors would be replaced: the last line of the file holds a digest of the others."""
    try:
        text = file.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror or error})", where=str(file), hint=_ELSEWHERE) from error
    body, _, digest = text.rpartition(_MARK)
    if digest.strip() != _digest(body):
        raise UsageError("was edited after it was exported, and would be replaced", where=str(file), hint=_ELSEWHERE)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_plot(folder: RunFolder, rows: Sequence[Row], figures: Path) -> bool:
    """Write the plot of quality against runtime; return whether there is one."""
    with mpl.rc_context(STYLE):
        drawn = psnr_runtime(folder.run, rows, score_of(folder.run), metric_of(folder.run))
    if drawn is None:
        return False
    write_page(figures / "psnr-runtime.pdf", render(drawn.figure, "pdf", paper=True))
    return True


def _write_shots(folder: RunFolder, piece: Piece, figures: Path) -> list[Shot]:
    """Write pictures of one crop as PNG, which pdfLaTeX reads: ground truth, bicubic, and the first rows."""
    # Crops are stored as WebP, which pdfLaTeX cannot read.
    figures.mkdir(parents=True, exist_ok=True)
    shots = []
    for number, shot in enumerate([shot for shot in piece.shots if shot.key != "lr"][:_MOST_SHOTS]):
        source = folder.path / "crops" / piece.window.folder
        # The name of a model's file is its slug, which a picture has in its link only.
        model = unquote(shot.link.rpartition("/models/")[2]).removesuffix(".webp")
        path = source / (f"{shot.key}.webp" if shot.key in ("hr", "reference") else f"models/{model}.webp")
        try:
            with Image.open(path) as picture:
                picture.convert("RGB").save(figures / f"crop-{number}.png")
        except OSError as error:
            raise ResultsError(f"the crop cannot be converted: {error}", where=str(path)) from error
        psnr = "" if shot.psnr is None else f"{shot.psnr:.2f} dB"
        shots.append(Shot(f"crop-{number}.png", shot.title, psnr))
    return shots


def _text(folder: RunFolder, rows: Sequence[Row], *, plot: bool, piece: Piece | None, shots: Sequence[Shot]) -> str:
    run = folder.run
    columns = _result_columns(run)
    bands = bands_of(run.track.fps_bands)
    submissions = [row for row in rows if not row.baseline]
    return _environment().get_template("paper.tex").render(
        run=run,
        columns=[_heading(column) for column in columns],
        results=[_result(row, columns) for row in submissions],
        references=[_result(row, columns) for row in rows if row.baseline],
        bands=[(f"band{band.index}", PAPER[f"band{band.index}"].lstrip("#"), band.label) for band in bands],
        notes=Tex("\n".join(footnotes(notes(run, rows, columns, ties=False)))),
        architectures=[_architecture(row, columns) for row in submissions],
        teams=submissions,
        members=list(dict.fromkeys(row.entry.team or row.entry.name for row in submissions)),
        left_out=[row.entry for row in unscored_rows(folder)],
        plot=plot,
        piece=piece,
        lines=[shots[start : start + _SHOTS_A_LINE] for start in range(0, len(shots), _SHOTS_A_LINE)],
        sizes=[f"{shape[3]} x {shape[2]}" for shape in (run.protocol.input_shape, run.protocol.output_shape)],
    )  # fmt: skip


def _result_columns(run: Run) -> list[Column]:
    known = {column.key: column for column in columns_of(run, "export")}
    # Scores that need a logarithm have too many digits for a table.
    wanted = ("score_log10", *RESULT_COLUMNS[1:]) if "score_log10" in known else RESULT_COLUMNS
    return [known[key] for key in wanted if key in known]


def _heading(column: Column) -> str:
    return f"{column.title} [{column.unit}]" if column.unit else column.title


def _result(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    """Return a line of the table of results; the cell of the runtime has the colour of its class of speed."""
    rank = "" if row.entry.rank is None else str(row.entry.rank)
    cells = [_cell(row, column) for column in columns]
    return {"rank": rank, "team": row.entry.team, "name": Tex(printed_name(row)), "cells": cells}


def _cell(row: Row, column: Column) -> Tex:
    value = column.value(row.entry)
    if value is None:
        return Tex("--")
    text = f"{value:z.{column.digits}f}"
    bound = column.lower_bound(row.entry)
    place = row.places.get(column.key)
    text = rf"\textbf{{{text}}}" if place == "best" else rf"\underline{{{text}}}" if place else text
    colour = _colour(row.band) if column.key == "runtime_ms" else ""
    mark = UNSETTLED.latex if is_unsettled(column, row.entry) else ""
    return Tex(f"{colour}{_BOUND if bound else ''}{text}{mark}")


def _colour(band: Band | None) -> str:
    return "" if band is None else rf"\cellcolor{{band{band.index}!30}}"


def _architecture(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    """Return a line of the table of architectures."""
    entry = row.entry
    known = {column.key: column for column in columns}
    bound = _BOUND if entry.incomplete_ops else ""
    return {
        "team": entry.team,
        "name": Tex(printed_name(row)),
        "before": _before(entry.reparam),
        "params": _cell_text(entry, known.get("params_k")),
        "macs": _cell_text(entry, known.get("macs_g")),
        "activations": "--" if entry.activations is None else Tex(f"{bound}{entry.activations / 1e6:.2f}"),
        "runtime": _cell(row, known["runtime_ms"]) if "runtime_ms" in known else "--",
        "method": _method(entry.reparam),
    }


def _cell_text(entry: Entry, column: Column | None) -> Tex:
    value = None if column is None else column.value(entry)
    if column is None or value is None:
        return Tex("--")
    return Tex(f"{_BOUND if column.lower_bound(entry) else ''}{value:z.{column.digits}f}")


def _is_reparameterized(reparam: Reparam | None) -> bool:
    return reparam is not None and reparam.method != "none"


def _before(reparam: Reparam | None) -> str:
    return f"{reparam.params_before / 1e3:.2f}" if reparam and _is_reparameterized(reparam) else "--"


def _method(reparam: Reparam | None) -> str:
    return reparam.method if reparam and _is_reparameterized(reparam) else "no"


@cache
def _environment() -> Environment:
    """Return the template environment; its delimiters do not occur in LaTeX, and its values are escaped for it."""
    return Environment(
        loader=PackageLoader("harness.report"),
        undefined=StrictUndefined,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Tex) else escaped(str(value)),
        autoescape=False,  # noqa: S701 -- what it makes is LaTeX, escaped by `finalize`
    )
