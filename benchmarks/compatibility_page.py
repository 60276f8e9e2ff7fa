"""The page of ``compatibility.py``: a table of networks for each repository, beside their published figures."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.results.columns import LOWER_BOUND
from harness.tracks import get_track

NO_WEIGHTS = "no weights"
"""Status of a network whose repository does not have its checkpoint."""
TRACKS = {"NTIRE2022_ESR": "ntire-esr-2022", "NTIRE2026_ESR": "ntire-esr-2026"}
"""Tracks whose published tables hold the networks of a repository, by the repository's name."""
MACS_TOLERANCE = 0.005
_LEAST_LETTERS = 4  # of a published name that is found within another one
_TOP = f"""\
# Compatibility

Which networks of public repositories can be measured. `benchmarks/compatibility.py` wrote this page from a folder of
clones in which no file was changed or added. No file of these repositories is part of the harness.

Each network was loaded in the sandbox, counted at 256 x 256 and executed on two images, in the form that the authors'
code returns, which is the one whose figures they published. The columns:

- *taken by*: how it was found. `script`: the [challenge's script](challenge-repositories.md); `folder`: its layout;
  `manifest`: one in the repository; `harness init`: the manifest that this command wrote in a copy.
- *params*, *MACs*: *as published* means within the rounding of the published parameters, and within 0.5 % of the
  published MACs. Published figures are those of the challenge's report, or of `results.txt` in the repository.
  {LOWER_BOUND} marks counts that are lower bounds.
- *s*: seconds of the whole check.
- *packages*: what the code imports beside the harness.
"""
_COLUMNS = ("model", "taken by", "result", "params, M", "MACs, G", "s", "packages", "remarks, or why not")


@dataclass(frozen=True)
class Published:
    """Printed figures of one network, as text: their digits say how far they are rounded."""

    model: str
    params_m: str
    macs_g: str


@dataclass(frozen=True)
class Row:
    """What became of one network.

    ``team`` is what a comment of the script calls it, ``packages`` are the distributions that it imports beyond those
    of the harness, ``source`` is how operations were counted. The status is that of a run's row, or :data:`NO_WEIGHTS`.
    """

    repository: str
    model: str
    taken: str
    status: str
    needed: str = ""
    params: int | None = None
    macs: int | None = None
    lower_bound: bool = False
    seconds: float = 0.0
    team: str = ""
    packages: tuple[str, ...] = ()
    source: str = ""


def known_figures(files: Iterable[Path], clones: Mapping[str, Path]) -> dict[str, list[Published]]:
    """Return the published figures by the name of the repository: of the tracks, of further files, of the clones."""
    figures: dict[str, list[Published]] = {}
    for repository, track in TRACKS.items():
        table = get_track(track).published
        for row in [] if table is None else table.rows():
            figures.setdefault(repository, []).append(Published(row["team"], row["params_M"], row["macs_G"]))
    for file in files:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                one = Published(row["model"], row["params_M"], row["macs_G"])
                figures.setdefault(row["repository"], []).append(one)
    for name, clone in clones.items():
        if name.rpartition("/")[2] not in TRACKS:
            figures.setdefault(name, []).extend(_own_results(clone / "results.txt"))
    return figures


def _own_results(file: Path) -> Iterator[Published]:
    """Yield the figures of the table that the script of a challenge writes."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    rows = [[cell.strip() for cell in line.split("\t")] for line in lines]
    for row in rows[1:]:
        cells = dict(zip(rows[0], row, strict=False))
        if {"Model", "Params [M]", "FLOPs [G]"} <= set(cells):
            yield Published(cells["Model"], cells["Params [M]"], cells["FLOPs [G]"])


def published_of(row: Row, figures: Mapping[str, list[Published]]) -> Published | None:
    """Return the published figures of a network: of its team, of its name, or of the longest name in its own."""
    listed = figures.get(row.repository) or figures.get(row.repository.rpartition("/")[2]) or []
    team, own = _letters(row.team), _letters(row.model)
    equal = [one for one in listed if team and _letters(one.model).removesuffix("team") == team.removesuffix("team")]
    equal = equal or [one for one in listed if _letters(one.model) in (own, own.lstrip("0123456789"))]
    fitting = [one for one in listed if len(_letters(one.model)) >= _LEAST_LETTERS and _letters(one.model) in own]
    return max(equal or fitting, key=lambda one: len(one.model), default=None)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def params_cell(row: Row, published: Published | None) -> str:
    """Return parameters in M, with the published ones where they differ by more than their rounding."""
    if row.params is None:
        return ""
    shown = f"{row.params / 1e6:.3f}"
    if published is None or not published.params_m:
        return shown
    if _has_published_params(row, published):
        return f"{shown} (as published)"
    return f"{shown} (published {published.params_m})"


def _has_published_params(row: Row, published: Published) -> bool:
    return row.params is not None and _is_rounded(row.params / 1e6, published.params_m)


def _is_rounded(value: float, printed: str) -> bool:
    digits = len(printed.partition(".")[2])
    return abs(value - float(printed)) <= 0.51 * 10.0**-digits


def macs_cell(row: Row, published: Published | None) -> str:
    """Return MACs in G, with the published ones where they differ by more than 0.5 % and their rounding."""
    if row.macs is None:
        return ""
    shown = f"{f'{LOWER_BOUND} ' if row.lower_bound else ''}{row.macs / 1e9:.2f}"
    if published is None or not published.macs_g:
        return shown
    if _has_published_macs(row, published):
        return f"{shown} (as published)"
    change = row.macs / 1e9 / float(published.macs_g) - 1
    return f"{shown} (published {published.macs_g}, {100 * change:+.1f} %)"


def _has_published_macs(row: Row, published: Published) -> bool:
    value, theirs = (row.macs or 0) / 1e9, float(published.macs_g)
    return abs(value - theirs) <= MACS_TOLERANCE * theirs or _is_rounded(value, published.macs_g)


def page_of(rows: Sequence[Row], figures: Mapping[str, list[Published]], remark: str = "") -> str:
    """Return the page in Markdown; `remark` is a sentence on the conditions."""
    lines = [_TOP, *_result(rows, figures), "", *([remark, ""] if remark else []), *_repositories(rows), ""]
    for repository in dict.fromkeys(row.repository for row in rows):
        lines += [f"## {repository}", "", _line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
        lines += [_row(row, published_of(row, figures)) for row in rows if row.repository == repository]
        lines.append("")
    return "\n".join(lines)


def _result(rows: Sequence[Row], figures: Mapping[str, list[Published]]) -> list[str]:
    """Return the sentences on all rows."""
    given = [row for row in rows if row.status != NO_WEIGHTS]
    measured = [row for row in given if row.status == "ok"]
    packages = Counter(package for row in measured for package in row.packages)
    needing = sum(bool(row.packages) for row in measured)
    beside = [(row, one) for row in measured if (one := published_of(row, figures)) is not None]
    equal = sum(_has_published_params(*pair) for pair in beside if pair[1].params_m)
    counted = [pair for pair in beside if pair[1].macs_g and pair[0].macs is not None]
    close = sum(_has_published_macs(*pair) for pair in counted)
    bounds = sum(not _has_published_macs(*pair) and pair[0].lower_bound for pair in counted)
    share = f" ({100 * len(measured) / len(given):.0f} %)" if given else ""
    return [
        f"**{len(measured)} of {len(given)} networks whose weights are in their repository are measured{share}**, all",
        f"without an edit. {len(measured) - needing} need no package beside the harness. {needing} import",
        f"{_listed(packages) or 'none'}; these were installed.",
        f"Of {len(beside)} with published figures, {equal} have the published parameters and {close} the published",
        f"MACs; {bounds} others are marked as lower bounds. {len(rows) - len(given)} rows have no weights.",
    ]


def _listed(packages: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {_version(name)}({count})" for name, count in sorted(packages.items()))


def _version(name: str) -> str:
    try:
        return f"{metadata.version(name)} "
    except metadata.PackageNotFoundError:
        return ""


def _repositories(rows: Sequence[Row]) -> list[str]:
    """Return the table of repositories."""
    lines = ["| repository | networks | with weights | measured |", "|---|---|---|---|"]
    for repository in dict.fromkeys(row.repository for row in rows):
        own = [row for row in rows if row.repository == repository and row.model != "-"]
        given = [row for row in own if row.status != NO_WEIGHTS]
        lines.append(_line((repository, len(own), len(given), sum(row.status == "ok" for row in given))))
    return lines


def _row(row: Row, published: Published | None) -> str:
    figures = params_cell(row, published), macs_cell(row, published)
    seconds = f"{row.seconds:.0f}" if row.params is not None else ""
    differs = published is not None and bool(published.macs_g) and not _has_published_macs(row, published)
    counted = f"MACs: {row.source}" if row.source and (row.macs is None or row.lower_bound or differs) else ""
    remarks = "; ".join(filter(None, [row.needed, counted]))
    return _line((row.model, row.taken, row.status, *figures, seconds, ", ".join(row.packages), remarks))


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
