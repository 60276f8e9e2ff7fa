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
import fnmatch
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

from compatibility_page import NO_WEIGHTS, Row, known_figures, page_of
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.cli.findings import without_archive_folder
from harness.engines import Engine
from harness.errors import CheckpointError, HarnessError, UsageError
from harness.files import write_atomically
from harness.run.checking import Check, CheckRequest, check_path
from harness.run.progress import ProgressEvent, StageProgress, SubmissionFinished
from harness.submissions import loaders
from harness.submissions.challenge.imports import needs_of
from harness.submissions.challenge.repository import PREFIX, number_of
from harness.submissions.challenge.script import SCRIPT, Chain, find_chain
from harness.submissions.discovery import discover
from harness.submissions.distributions import DISTRIBUTIONS
from harness.submissions.manifest import manifest_file
from harness.submissions.proposal import propose, write
from harness.submissions.submission import BrokenSubmission, Found

SIZE = (256, 256)
MANIFESTS = ("submission.toml", "harness.toml")
_LONGEST = 400
# Notes that every network could have and that nobody has to act on.
_ORDINARY = ("two calls", "executed by backend")


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
    recognized = [one for one in found if not _is_mere_folder(one) and not _is_mere_checkpoint(one)]
    if not recognized:
        yield from _proposed(clone, copies / clone.name)
        return
    yield Source(clone, tuple(recognized))
    if not _is_network(clone):
        for folder in sorted(path for path in clone.iterdir() if path.is_dir() and not path.name.startswith(".")):
            if not _is_network(folder):
                yield from _proposed(folder, copies / clone.name / folder.name)


def _is_network(folder: Path) -> bool:
    """Return whether a folder is described as a whole: by a manifest, or by the script of a challenge."""
    return manifest_file(folder) is not None or (folder / SCRIPT).is_file()


def _is_mere_folder(one: Found) -> bool:
    """Return whether a folder is listed only because it has Python files in it."""
    return isinstance(one, BrokenSubmission) and one.path.is_dir() and "has neither" in one.error.what


def _is_mere_checkpoint(one: Found) -> bool:
    """Return whether a checkpoint is listed without its code."""
    return not isinstance(one, BrokenSubmission) and one.manifest.factory == f"{loaders.PREFIX}spandrel"


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
    modules = [found.manifest.factory.partition(":")[0]]
    if (chain := _chain_of(found)) is not None:
        branch = chain.read(number_of(found.manifest.factory))
        modules = [*branch.imported, *([branch.network.of.module] if branch.network else [])]
    root = found.root / found.manifest.folder
    imported = {DISTRIBUTIONS[name] for name in needs_of(root, modules).packages if name in DISTRIBUTIONS}
    return tuple(sorted(name for name in imported if canonicalize_name(name) not in _own_packages()))


def _chain_of(found: Found) -> Chain | None:
    """Return the script from which a network was read, if it was."""
    if isinstance(found, BrokenSubmission) or not found.manifest.factory.startswith(PREFIX):
        return None
    return find_chain(found.root)


def _own_packages() -> set[str]:
    """Return the distributions that an installation of the harness without extras brings."""
    own, waiting = set[str](), ["sr-harness"]
    for name in waiting:
        needs = [Requirement(text) for text in metadata.requires(name) or ()]
        required = {
            canonicalize_name(one.name) for one in needs if not one.marker or one.marker.evaluate({"extra": ""})
        }
        waiting += sorted(required - own)
        own |= required
    return own


def team_of(found: Found) -> str:
    """Return the comment at the beginning of a network's branch, such as the name of its team; empty if none."""
    chain = _chain_of(found)
    if chain is None or isinstance(found, BrokenSubmission):
        return ""
    lines = (found.root / chain.file).read_text(encoding="utf-8", errors="replace").splitlines()
    before = lines[chain.branches[number_of(found.manifest.factory)][0].lineno - 2].strip()
    return before.lstrip("# ") if before.startswith("#") else ""


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
        on_row(Row(name, "-", "not taken", NO_WEIGHTS, "there is no checkpoint in it that fits a network in it"))
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
        return Row(name, check.name, "not taken", NO_WEIGHTS if lacks else "failed", cleaned(said[0], clone))
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
        team=team_of(found),
        packages=packages_of(found),
        source=cleaned(measured.macs_source or "", clone),
    )


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
    work = Work(options.work)
    clones = sorted(path for path in options.clones.iterdir() if path.is_dir() and not path.name.startswith("."))
    figures = known_figures(options.published, {repository_name(clone): clone for clone in clones})
    for clone in clones:
        if options.only and not any(fnmatch.fnmatch(clone.name, glob) for glob in options.only):
            continue
        print(repository_name(clone), flush=True)
        request = CheckRequest(
            clone,
            timeout_s=options.timeout,
            install=options.install,
            reparam="none",
            analysis_limit_s=options.analysis_limit,
            size=SIZE,
            timed=options.timed,
            folder=options.work / clone.name,
        )

        def keep(row: Row) -> None:
            print(f"  {row.model}: {row.status}, {row.seconds:.0f} s. {row.needed}", flush=True)
            work.add(row)
            write_atomically(options.out, page_of(list(work.rows.values()), figures, options.remark).encode())

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
    parser.add_argument("--remark", default="", help="sentence for the page on the conditions, such as the machine")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds that one stage may take")
    parser.add_argument("--analysis-limit", type=float, default=30.0, help="seconds of a collapse, and of a count")
    parser.add_argument("--timed", action="store_true", help="time networks too, as `harness check` does")
    parser.add_argument("--install", action="store_true", help="install packages that networks require")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(1 if measure(parsed()) else 0)
