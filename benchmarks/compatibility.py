"""Check the networks of cloned repositories as they are, and write which of them can be measured.

Run ``python benchmarks/compatibility.py CLONES [--out FILE] [--work FOLDER] [--only GLOB]``. `CLONES` is a folder of
cloned repositories, none of whose files is changed. Each network goes through ``harness check``, with time limits, at
256 x 256, the size for which the efficient challenges publish operations. Where nothing is recognized in a repository,
``harness init`` writes a manifest into a copy of it. The page has a table for each repository: model, how it was taken,
parameters and MACs beside the published ones, what was needed, or why it is not measured.

What is measured is kept in `--work`, so that a run that was stopped goes on. The page is written after every network.
Published figures are those of the tracks, those that a repository has in ``results.txt``, and those of
``--published FILE``, a CSV file with columns ``repository, model, params_M, macs_G``.
"""

from __future__ import annotations

import argparse
import configparser
import csv
import fnmatch
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.cli.findings import without_archive_folder
from harness.engines import Engine
from harness.errors import CheckpointError, HarnessError, UsageError
from harness.files import write_atomically
from harness.results.columns import LOWER_BOUND
from harness.run.checking import Check, CheckRequest, check_path
from harness.run.progress import ProgressEvent, StageProgress, SubmissionFinished
from harness.submissions.challenge.imports import needs_of
from harness.submissions.challenge.repository import PREFIX, number_of
from harness.submissions.challenge.script import Branch, find_chain
from harness.submissions.discovery import discover
from harness.submissions.distributions import DISTRIBUTIONS
from harness.submissions.proposal import propose, write
from harness.submissions.submission import BrokenSubmission, Found, Submission
from harness.tracks import get_track

SIZE = (256, 256)
TRACKS = {"NTIRE2022_ESR": "ntire-esr-2022", "NTIRE2026_ESR": "ntire-esr-2026"}
"""Tracks whose published tables hold the networks of a repository, by the repository's name."""
MANIFESTS = ("submission.toml", "harness.toml")
MACS_TOLERANCE = 0.005
_LONGEST = 240
_LEAST_LETTERS = 4  # of a published name that is found within another one
# Notes that every network could have and that nobody has to act on.
_ORDINARY = ("two calls", "executed by backend")


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
    of the harness. The status is that of a run's row, or ``no weights`` if the repository does not have them.
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


@dataclass(frozen=True)
class Source:
    """Networks that are checked together: those of a folder that discovery recognizes as networks."""

    folder: Path
    found: tuple[Found, ...]
    is_proposed: bool = False


class Clock:
    """Listener that measures how long each submission takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begin = time.monotonic()

    def __call__(self, event: ProgressEvent) -> None:
        """Print the stage, and take the time at the end of a submission; what is stored already takes none."""
        if isinstance(event, StageProgress):
            print(f"    {event.name}: {event.stage} {event.detail}", flush=True)
        if isinstance(event, SubmissionFinished):
            now = time.monotonic()
            if not event.reused:
                self.seconds[event.name] = self.seconds.get(event.name, 0.0) + now - self._begin
            self._begin = now


def repository_name(folder: Path) -> str:
    """Return ``owner/name`` of a clone's origin, or the folder's name."""
    config = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        config.read(folder / ".git" / "config", encoding="utf-8")
        url = config['remote "origin"']["url"]
    except (configparser.Error, KeyError, UnicodeDecodeError):
        return folder.name
    found = re.search(r"([\w.-]+/[\w.-]+?)(\.git)?/?$", url)
    return found[1] if found else folder.name


def taken_as(found: Found) -> str:
    """Return how discovery came to a network."""
    if isinstance(found, BrokenSubmission):
        return "not taken"
    if found.manifest.factory.startswith(PREFIX):
        return "script"
    if any((found.root / name).is_file() for name in MANIFESTS):
        return "manifest"
    return found.origin


def cleaned(text: str, clone: Path) -> str:
    """Return a message in one line, without the folders of this machine."""
    line = " ".join(without_archive_folder(text).split())
    for place in (clone, clone.resolve(), Path.home()):
        line = line.replace(f"{place}/", "")
    line = re.sub(r"/\S*/(?=[^/\s]+/[^/\s]+)", "", line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def sources_of(clone: Path, copies: Path) -> Iterator[Source]:
    """Yield what is recognized in a clone, and what ``harness init`` describes in copies of the rest of it."""
    try:
        found = discover([clone], entry_points=False)
    except UsageError:
        found = []
    recognized = [one for one in found if not _is_mere_folder(one)]
    if recognized:
        yield Source(clone, tuple(recognized))
    for folder in [one.path for one in found if isinstance(one, BrokenSubmission) and one not in recognized]:
        if recognized:
            yield from _proposed(folder, copies / folder.name)
    if not recognized:
        yield from _proposed(clone, copies / clone.name)


def _is_mere_folder(one: Found) -> bool:
    """Return whether a folder is listed only because it has Python files in it."""
    return isinstance(one, BrokenSubmission) and one.path.is_dir() and "has neither" in one.error.what


def _proposed(folder: Path, copy: Path) -> Iterator[Source]:
    """Yield the networks of a folder after ``harness init`` on a copy of it; nothing if it finds none."""
    if not copy.is_dir():
        if not propose(folder).models:
            return
        shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        write(copy)
    yield Source(copy, tuple(discover([copy], entry_points=False)), is_proposed=True)


def packages_of(found: Found) -> tuple[str, ...]:
    """Return the distributions that the code of a network imports beyond those of the harness."""
    if isinstance(found, BrokenSubmission):
        return ()
    root, modules = found.root, [found.manifest.factory.partition(":")[0]]
    branch = _branch_of(found)
    if branch is not None:
        modules = [*branch.imported, *([branch.network.of.module] if branch.network else [])]
    imported = {DISTRIBUTIONS[name] for name in needs_of(root, modules).packages if name in DISTRIBUTIONS}
    return tuple(sorted(name for name in imported if canonicalize_name(name) not in _own_packages()))


def _branch_of(found: Submission) -> Branch | None:
    chain = find_chain(found.root) if found.manifest.factory.startswith(PREFIX) else None
    return None if chain is None else chain.read(number_of(found.manifest.factory))


def _own_packages() -> set[str]:
    """Return the distributions that an installation of the harness without extras brings."""
    own, waiting = set[str](), ["sr-harness"]
    for name in waiting:
        needs = [Requirement(text) for text in metadata.requires(name) or ()]
        required = {canonicalize_name(one.name) for one in needs if not one.marker or one.marker.evaluate({"extra": ""})}
        waiting += sorted(required - own)
        own |= required
    return own


def team_of(found: Found, clone: Path) -> str:
    """Return the comment at the beginning of a network's branch, such as the name of its team; empty if none."""
    chain = None if isinstance(found, BrokenSubmission) else find_chain(found.root)
    if chain is None or isinstance(found, BrokenSubmission) or not found.manifest.factory.startswith(PREFIX):
        return ""
    lines = (found.root / chain.file).read_text(encoding="utf-8", errors="replace").splitlines()
    first = chain.branches[number_of(found.manifest.factory)][0].lineno - 1
    said = lines[first - 1].strip()
    return re.sub(r"\s+Team$", "", said.lstrip("# "), flags=re.IGNORECASE) if said.startswith("#") else ""


def check_clone(
    clone: Path, request: CheckRequest, copies: Path, on_row: Callable[[Row], None], engine: Engine | None = None
) -> None:
    """Check all networks of a clone; each becomes a row as soon as it is done, and a clone without any is one row."""
    name = repository_name(clone)
    try:
        sources = list(sources_of(clone, copies))
    except HarnessError as error:
        on_row(Row(name, "-", "not taken", "failed", cleaned(str(error), clone)))
        return
    if not sources:
        on_row(Row(name, "-", "not taken", "no weights", "there is no checkpoint in it that fits a network in it"))
    for source in sources:
        check_source(source, replace(request, path=source.folder), name, on_row, engine)


def check_source(
    source: Source, request: CheckRequest, name: str, on_row: Callable[[Row], None], engine: Engine | None
) -> None:
    """Check the networks of a folder; `name` is that of the repository."""
    found, clock = {one.name: one for one in source.found}, Clock()

    def keep(checks: Sequence[Check]) -> None:
        row = row_of(name, checks, found[checks[0].name], source)
        on_row(replace(row, seconds=round(clock.seconds.get(row.model, 0.0), 1)))

    check_path(replace(request, only=tuple(one.slug for one in source.found)), [clock], engine, keep)


def row_of(name: str, checks: Sequence[Check], found: Found, source: Source) -> Row:
    """Return the row of one network from its checks, one for each scale: the first that passed, else the first."""
    check = next((one for one in checks if one.passed), checks[0])
    errors = [finding for finding in check.findings if finding.level == "error"]
    said = [f"{one.what}{f' ({one.hint})' if one.hint else ''}" for one in errors]
    measured, clone = check.measurement, source.folder
    if measured is None:
        lacks = isinstance(found, BrokenSubmission) and isinstance(found.error, CheckpointError)
        return Row(name, check.name, "not taken", "no weights" if lacks else "failed", cleaned(said[0], clone))
    notes = [note for note in measured.notes if not note.startswith(_ORDINARY)]
    return Row(
        name,
        check.name,
        "`harness init`" if source.is_proposed else taken_as(found),
        "ok" if measured.status == "ok" and not errors else "failed" if measured.status == "ok" else measured.status,
        cleaned("; ".join(said or notes), clone),
        measured.params,
        measured.macs,
        bool(measured.incomplete_ops),
        team=team_of(found, clone),
        packages=packages_of(found),
    )


def known_figures(files: Iterable[Path], clones: Sequence[Path] = ()) -> dict[str, list[Published]]:
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
    for clone in clones:
        name = repository_name(clone)
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


def published_of(row: Row, figures: dict[str, list[Published]]) -> Published | None:
    """Return the published figures of a network: of its name, or of the longest name that its own contains."""
    listed = figures.get(row.repository) or figures.get(row.repository.rpartition("/")[2]) or []
    of_team = [one for one in listed if row.team and _letters(one.model.removesuffix(" Team")) == _letters(row.team)]
    if of_team:
        return of_team[0]
    own = _letters(row.model)
    equal = [one for one in listed if _letters(one.model) in (own, own.lstrip("0123456789"))]
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
    digits = len(published.params_m.partition(".")[2])
    if abs(row.params / 1e6 - float(published.params_m)) <= 0.51 * 10.0**-digits:
        return f"{shown} (as published)"
    return f"{shown} (published {published.params_m})"


def macs_cell(row: Row, published: Published | None) -> str:
    """Return MACs in G, with the published ones where they differ by more than 0.5 % and their rounding."""
    if row.macs is None:
        return ""
    value, bound = row.macs / 1e9, f"{LOWER_BOUND} " if row.lower_bound else ""
    shown = f"{bound}{value:.2f}"
    if published is None or not published.macs_g:
        return shown
    theirs, digits = float(published.macs_g), len(published.macs_g.partition(".")[2])
    if abs(value - theirs) <= max(MACS_TOLERANCE * theirs, 0.51 * 10.0**-digits):
        return f"{shown} (as published)"
    return f"{shown} (published {published.macs_g}, {100 * (value / theirs - 1):+.1f} %)"


def page_of(rows: Sequence[Row], figures: dict[str, list[Published]]) -> str:
    """Return the page in Markdown."""
    models = [row for row in rows if row.model != "-"]
    passed = sum(row.status == "ok" for row in models)
    lines = [
        "# Compatibility",
        "",
        "Networks of public repositories that were given to the harness as they are (`benchmarks/compatibility.py`).",
        f"{passed} of {len(models)} networks are measured without a change.",
        "",
        "Parameters and MACs are those of the authors' form at 256 x 256. *As published* means within the rounding of",
        f"the published parameters and within 0.5 % of the published MACs. {LOWER_BOUND} marks lower bounds.",
        "",
    ]
    for repository in dict.fromkeys(row.repository for row in rows):
        own = [row for row in rows if row.repository == repository]
        lines += [f"## {repository}", "", _summary(own), ""]
        lines += [
            "| model | taken by | result | params, M | MACs, G | s | needed, or why not |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_line(row, published_of(row, figures)) for row in own]
        lines.append("")
    return "\n".join(lines)


def _summary(rows: Sequence[Row]) -> str:
    counts = {status: sum(row.status == status for row in rows) for status in dict.fromkeys(row.status for row in rows)}
    return f"{len(rows)} networks: {', '.join(f'{count} {status}' for status, count in counts.items())}."


def _line(row: Row, published: Published | None) -> str:
    figures = params_cell(row, published), macs_cell(row, published)
    cells = (row.model, row.taken, row.status, *figures, f"{row.seconds:.0f}", row.needed)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


class Work:
    """Rows of earlier runs, kept in a file.

    Parameters
    ----------
    folder
        Where measurements and rows are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "rows.json"
        stored = json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else []
        self.rows = {(row["repository"], row["model"]): Row(**row) for row in stored}

    def add(self, row: Row) -> None:
        """Keep a row; the time of one that was only read again is that of its measurement."""
        key = row.repository, row.model
        earlier = self.rows.get(key)
        if earlier is not None and row.seconds < 0.5:
            row = replace(row, seconds=earlier.seconds)
        self.rows[key] = row
        text = json.dumps([asdict(one) for one in self.rows.values()], indent=1)
        write_atomically(self._file, text.encode())


def measure(options: argparse.Namespace, engine: Engine | None = None) -> int:
    """Check all clones and write the page after each; return how many networks are not measured."""
    work, figures = Work(options.work), known_figures(options.published)
    clones = sorted(path for path in options.clones.iterdir() if path.is_dir() and not path.name.startswith("."))
    for clone in clones:
        if options.only and not any(fnmatch.fnmatch(clone.name, glob) for glob in options.only):
            continue
        print(repository_name(clone), flush=True)
        request = CheckRequest(
            clone,
            timeout_s=options.timeout,
            install=options.install,
            reparam="author",
            analysis_limit_s=options.analysis_limit,
            size=SIZE,
            timed=options.timed,
            folder=options.work / clone.name,
        )

        def keep(row: Row) -> None:
            print(f"  {row.model}: {row.status}, {row.seconds:.0f} s. {row.needed}", flush=True)
            work.add(row)
            write_atomically(options.out, page_of(list(work.rows.values()), figures).encode())

        check_clone(clone, request, options.work / "copies", keep, engine)
    return sum(row.status != "ok" for row in work.rows.values())


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clones", type=Path, help="folder of cloned repositories")
    parser.add_argument("--out", type=Path, default=Path("docs/compatibility.md"), help="page to write")
    parser.add_argument("--work", type=Path, default=Path("compatibility"), help="folder that keeps what is measured")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="check these clones; repeatable")
    parser.add_argument("--published", type=Path, action="append", default=[], help="CSV of published figures")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds that one stage may take")
    parser.add_argument("--analysis-limit", type=float, default=30.0, help="seconds of a collapse, and of a count")
    parser.add_argument("--timed", action="store_true", help="time networks too, as `harness check` does")
    parser.add_argument("--install", action="store_true", help="install packages that networks require")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(1 if measure(parsed()) else 0)
