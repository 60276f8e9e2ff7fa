"""Read ``per_image.csv``, and tell a damaged one from a complete one."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.results.columns import MEASURES
from harness.results.reading import reading
from harness.results.schema import Run
from harness.text import from_spreadsheet_text, spreadsheet_text

IMAGE_TABLE = "per_image.csv"
_KEYS = ("slug", "image")


def read_image_table(file: Path, run: Run) -> list[dict[str, str]]:
    """Return the lines of the table by column, with slugs and names of images as the run has them.

    Parameters
    ----------
    file
        The table.
    run
        The run that it belongs to.

    Raises
    ------
    ResultsError
        The file cannot be read, a line lacks a field, a figure is not a number, or images of a row are missing.
    """
    with reading(file):
        text = file.read_bytes().decode()
        try:
            rows = _rows(text)
        except csv.Error as error:  # it derives from no class that `reading` converts
            raise ValueError(str(error)) from error
        _check_complete(rows, run)
    return rows


def exchanged(rows: Sequence[Mapping[str, str]], further: str, own: str) -> bytes:
    """Return a table in which a further convention and the run's own one have changed places.

    Parameters
    ----------
    rows
        Lines by column, at least one.
    further
        Name of the further convention. Its columns, such as ``psnr_y_matlab``, become ``psnr_y`` and the like.
    own
        Name of the run's own convention, whose columns get that ending.
    """
    renamed = {f"{measure}_{further}": measure for measure in MEASURES}
    renamed |= {measure: f"{measure}_{own}" for measure in MEASURES}
    others = [key for key in rows[0] if key not in renamed and key not in _KEYS]
    # The columns of the table's own convention come first.
    source = {renamed[key]: key for key in renamed if key in rows[0]} | {key: key for key in others}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_KEYS, *source])
    writer.writerows(
        [*(spreadsheet_text(row[key]) for key in _KEYS), *(row[key] for key in source.values())] for row in rows
    )
    return text.getvalue().encode()


def _rows(text: str) -> list[dict[str, str]]:
    # Read as it is: line ends within quotes belong to the name.
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    if not set(_KEYS) <= set(header):
        raise ValueError(f"its first line does not name the columns {' and '.join(_KEYS)}")
    # Every line is written with its end: without it, the last figure may lack digits.
    if not text.endswith("\n"):
        raise ValueError("its last line is cut off")
    rows = []
    for cells in reader:
        if len(cells) != len(header):
            raise ValueError(f"line {reader.line_num} has {len(cells)} fields, the first line names {len(header)}")
        row = dict(zip(header, cells, strict=True))
        for key, value in row.items():
            if key in _KEYS:
                row[key] = from_spreadsheet_text(value)
            elif value and not _is_number(value):
                raise ValueError(f"{key} in line {reader.line_num} is {value[:40]!r}, not a number")
        rows.append(row)
    return rows


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _check_complete(rows: list[dict[str, str]], run: Run) -> None:
    """Raise ValueError if a row of the run with figures of quality has fewer images than the data set."""
    found = Counter(row["slug"] for row in rows)
    for entry in run.entries:
        # Failed rows may have some of the images, or none.
        expected = run.dataset.images if entry.status == "ok" and entry.psnr_rgb is not None and entry.slug else 0
        if found[entry.slug] < expected:
            raise ValueError(f"it has {found[entry.slug]} of the {expected} images of {entry.name}")
