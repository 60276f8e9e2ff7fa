"""Check every network of some repositories as they are, and write what came of it as a page.

Run ``python benchmarks/compatibility.py CLONES [-o PAGE] [--only GLOB ...] [--timeout S]``. ``CLONES`` is a folder of
clones of challenge repositories. Nothing in them is changed; their code runs in the sandbox of ``harness check``.

Parameters and multiply-accumulates are those of the network as its authors load it, before any conversion of the
harness. They stand beside the figures of the repository's own ``results.txt``, for images of 256 x 256, if it has one.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.results import Measurement
from harness.run.checking import Check, CheckRequest, check_path
from harness.run.progress import ProgressEvent, SubmissionFinished
from harness.text import single_line

CHECKED_PIXELS, PUBLISHED_PIXELS = 96 * 128, 256 * 256
_HEAD = """\
# Compatibility

Networks of public repositories, run as they are by `harness check`: no file was added or edited. Written by
`benchmarks/compatibility.py`. Parameters in thousands and multiply-accumulates in G for 256 x 256 pixels are those of
the network as its authors load it; in parentheses, what the repository's `results.txt` states.
"""


@dataclass(frozen=True)
class Row:
    """What came of one network."""

    name: str
    measurement: Measurement | None
    reason: str

    @property
    def outcome(self) -> str:
        """``ok``, or how it failed."""
        return "failed" if self.measurement is None else self.measurement.status


def main(arguments: Sequence[str] | None = None) -> int:
    """Check all clones and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clones", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--timeout", type=float, default=60.0)
    options = parser.parse_args(arguments)
    sections = []
    for clone in sorted(path for path in options.clones.iterdir() if path.is_dir()):
        print(clone.name, flush=True)
        try:
            rows = check_clone(clone, tuple(options.only), options.timeout)
        except HarnessError as error:
            print(f"  {error}", flush=True)
            continue
        sections.append(section(clone.name, rows, published(clone)))
    page = "\n".join([_HEAD, *sections])
    if options.output is not None:
        options.output.write_text(page, encoding="utf-8")
    print(page)
    return 0


def check_clone(clone: Path, only: tuple[str, ...], timeout_s: float) -> list[Row]:
    """Return the rows of a clone in the order of its networks, and print each when it is finished."""
    measured: dict[str, Measurement] = {}
    begin = time.monotonic()

    def note(event: ProgressEvent) -> None:
        nonlocal begin
        if isinstance(event, SubmissionFinished):
            measured[event.name] = event.measurement
            error = event.measurement.error
            said = "ok" if error is None else f"{event.measurement.status}: {error.first_line}"
            print(f"  {event.name}: {said} ({time.monotonic() - begin:.0f} s)", flush=True)
            begin = time.monotonic()

    checks = check_path(CheckRequest(clone, timeout_s=timeout_s, only=only), [note])
    return [
        Row(check.name, measured.get(check.name), reason(check, measured.get(check.name)).replace(f"{clone}/", ""))
        for check in checks
    ]


def reason(check: Check, measurement: Measurement | None) -> str:
    """Return why a network does not run, or what is remarkable about how it does."""
    errors = [f"{one.what} -> {one.hint}" if one.hint else one.what for one in check.findings if one.level == "error"]
    notes = [] if measurement is None else measurement.notes
    return single_line("; ".join(errors or notes), 400).replace("|", "/")


def published(clone: Path) -> dict[str, tuple[float, float]]:
    """Return parameters and operations of a repository's ``results.txt``, in millions and G, by name."""
    path = clone / "results.txt"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    if not lines or not {"Params [M]", "FLOPs [G]"} <= {title.strip() for title in lines[0].split("\t")}:
        return {}
    titles = [title.strip() for title in lines[0].split("\t")]
    found = {}
    for line in lines[1:]:
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) == len(titles):
            row = dict(zip(titles, cells, strict=True))
            found[row["Model"]] = (float(row["Params [M]"]), float(row["FLOPs [G]"]))
    return found


def section(name: str, rows: Sequence[Row], stated: Mapping[str, tuple[float, float]]) -> str:
    """Return the part of the page about one repository."""
    ok = sum(row.outcome == "ok" for row in rows)
    head = [f"## {name}", "", f"{ok} of {len(rows)} run.", ""]
    table = ["| network | outcome | parameters | MACs | remarks |", "|---|---|---:|---:|---|"]
    return "\n".join([*head, *table, *lines(rows, stated), ""])


def lines(rows: Sequence[Row], stated: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """Yield the lines of the table."""
    to_published = PUBLISHED_PIXELS / CHECKED_PIXELS / 1e9
    for row in rows:
        params, macs = as_loaded(row.measurement)
        own = stated.get(row.name)
        cells = [
            row.name,
            row.outcome,
            beside(None if params is None else params / 1e3, None if own is None else own[0] * 1e3),
            beside(None if macs is None else macs * to_published, None if own is None else own[1]),
            row.reason,
        ]
        yield f"| {' | '.join(cells)} |"


def as_loaded(measurement: Measurement | None) -> tuple[int | None, int | None]:
    """Return parameters and multiply-accumulates before any conversion."""
    if measurement is None or measurement.params is None:
        return None, None
    converted = measurement.reparam
    if converted is None or converted.method == "none":
        return measurement.params, measurement.macs
    return converted.params_before, converted.macs_before


def beside(measured: float | None, stated: float | None) -> str:
    """Return a figure with the one that is stated for it."""
    shown = "" if measured is None else f"{measured:.4g}"
    return re.sub(r"^ ", "", f"{shown} ({stated:.4g})") if stated is not None else shown


if __name__ == "__main__":
    sys.exit(main())
