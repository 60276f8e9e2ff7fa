"""Check a bundle by the rules of Codabench's unpacker and database, before it is uploaded."""

from __future__ import annotations

import shlex
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ValidationError

from harness.codabench.competition import (
    DEFAULT_QUEUE_LIMIT_S,
    FILES_OF_A_PHASE,
    FILES_OF_A_TASK,
    Competition,
    Leaderboard,
    Page,
    Phase,
    Task,
)
from harness.errors import UsageError

DESCRIPTION = "competition.yaml"
_PROGRAMS = ("scoring_program", "ingestion_program")
_LARGEST_DESCRIPTION = 1 << 20
# A date that does not exist is a plain ValueError, as is text that is not UTF-8.
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)
# Start of the image that `harness.codabench.bundle` names if none is given.
_PLACEHOLDER = "example/"
# Keys that Codabench does not read, with those that are probably meant.
_HINTS = {"leaderboard": "leaderboards", "phase": "phases", "task": "tasks", "page": "pages", "logo": "image"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a bundle.

    Attributes
    ----------
    level
        ``error``: Codabench refuses the bundle or cannot run it. ``warning``: it does something else than it seems.
    where
        Key of ``competition.yaml``, or file in the bundle.
    message
        What is wrong and what to do.
    """

    level: Literal["error", "warning"]
    where: str
    message: str


def check_bundle(path: Path) -> list[Finding]:
    """Return everything that is wrong with a bundle; empty if nothing is.

    Raises
    ------
    UsageError
        The file is no zip file, or is damaged.
    """
    bundle = Contents(path)
    try:
        return _checked(bundle)
    # What reading a file of the archive raises: cut or changed, of an unknown compression, encrypted.
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"is a damaged zip file ({error})", where=str(path), hint="pack it again") from error


def _checked(bundle: Contents) -> list[Finding]:
    if DESCRIPTION not in bundle.names:
        # The usual mistake: the folder was zipped instead of its content.
        inner = next((name for name in bundle.names if name.endswith(f"/{DESCRIPTION}")), None)
        hint = f": it is in {Path(inner).parent}; zip the files, not their folder" if inner else ""
        return [_error(DESCRIPTION, f"is not at the top of the zip file{hint}")]
    raw, broken = _parsed(bundle)
    if broken:
        return [broken]
    try:
        competition = Competition.model_validate(raw)
    except ValidationError as error:
        return [*_mistakes(error), *_unknown(raw, Competition, "")]
    return [*_unknown(raw, Competition, ""), *_nested_unknown(raw), *_findings(competition, bundle)]


class Contents:
    """The files of a bundle.

    Attributes
    ----------
    names
        Paths of the files in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._sizes = {one.filename: one.file_size for one in archive.infolist() if not one.is_dir()}
        except (OSError, zipfile.BadZipFile) as error:
            raise UsageError(f"is no zip file ({error})", where=str(path), hint="give the bundle.zip") from error
        self.names = list(self._sizes)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        with zipfile.ZipFile(self._path) as archive:
            return archive.read(name)

    def size(self, name: str) -> int | None:
        """Return the size of a file, bytes; None if there is none of that name."""
        return self._sizes.get(name)

    def files_of(self, name: str) -> set[str] | None:
        """Return the names of the files in a folder, or in a zip file inside the bundle; None if there is neither."""
        prefix = f"{name.strip('/')}/"
        # Codabench takes a folder, or a zip file that was packed before.
        inside = {one.removeprefix(prefix) for one in self.names if one.startswith(prefix)}
        if inside:
            return inside
        if name not in self.names or not name.endswith(".zip"):
            return None
        with zipfile.ZipFile(self._path) as archive, archive.open(name) as stream:
            try:
                with zipfile.ZipFile(stream) as inner:
                    return set(inner.namelist())
            except zipfile.BadZipFile:
                return set()

    def text_in(self, name: str, file: str) -> bytes:
        """Return a file of a folder, or of a zip file inside the bundle."""
        if f"{name.strip('/')}/{file}" in self.names:
            return self.read(f"{name.strip('/')}/{file}")
        with zipfile.ZipFile(self._path) as archive, archive.open(name) as stream, zipfile.ZipFile(stream) as inner:
            return inner.read(file)


def _error(where: str, message: str) -> Finding:
    return Finding("error", where, message)


def _warning(where: str, message: str) -> Finding:
    return Finding("warning", where, message)


def _parsed(bundle: Contents) -> tuple[dict[str, Any], Finding | None]:
    if (bundle.size(DESCRIPTION) or 0) > _LARGEST_DESCRIPTION:
        return {}, _error(DESCRIPTION, "is larger than 1 MiB")
    try:
        raw = yaml.safe_load(bundle.read(DESCRIPTION))
    except _NOT_YAML as error:
        return {}, _error(DESCRIPTION, f"is not YAML: {error}")
    return (raw, None) if isinstance(raw, dict) else ({}, _error(DESCRIPTION, "holds no keys"))


def _mistakes(error: ValidationError) -> Iterator[Finding]:
    for one in error.errors():
        place = ".".join(map(str, one["loc"])) or DESCRIPTION
        yield _error(place, "is missing" if one["type"] == "missing" else str(one["msg"]))


def _unknown(raw: Any, model: type[BaseModel], place: str) -> Iterator[Finding]:
    # Only names of keys are compared; their values were validated by the model.
    for key in raw if isinstance(raw, dict) else ():
        if key not in model.model_fields:
            meant = _HINTS.get(str(key))
            advice = f"; did you mean {meant}?" if meant else ""
            yield _warning(f"{place}{key}", f"is no key that Codabench reads: it is ignored{advice}")


def _nested_unknown(raw: dict[str, Any]) -> Iterator[Finding]:
    for name, model in (("pages", Page), ("phases", Phase), ("tasks", Task), ("leaderboards", Leaderboard)):
        # The competition is valid at this point, so that these keys are lists.
        for number, one in enumerate(raw[name]):
            yield from _unknown(one, model, f"{name}.{number}.")


def _findings(competition: Competition, bundle: Contents) -> Iterator[Finding]:
    yield from _texts(competition, bundle)
    yield from _tasks(competition.tasks, bundle)
    yield from _phases(competition, bundle)
    for number, leaderboard in enumerate(competition.leaderboards):
        yield from _leaderboard(leaderboard, f"leaderboards.{number}")
    if len(competition.leaderboards) > 1:
        yield _warning("leaderboards", "all phases use the first one; the others are not shown")
    if competition.docker_image.startswith(_PLACEHOLDER):
        yield _warning(
            "docker_image",
            f"{competition.docker_image} is a placeholder: build the Dockerfile of a program, push it and name it here",
        )


def _texts(competition: Competition, bundle: Contents) -> Iterator[Finding]:
    named = [("image", competition.image), ("terms", competition.terms)]
    named += [(f"pages.{number}.file", page.file) for number, page in enumerate(competition.pages)]
    for where, name in named:
        size = bundle.size(name)
        if size is None:
            yield _error(where, f"there is no file {name!r} in the bundle")
        elif size == 0:
            yield _error(where, f"{name} is empty, which Codabench refuses")


def _repeated(values: Iterable[Any]) -> list[Any]:
    seen = list(values)
    return [value for value in dict.fromkeys(seen) if seen.count(value) > 1]


def _tasks(tasks: Sequence[Task], bundle: Contents) -> Iterator[Finding]:
    for index in _repeated(task.index for task in tasks):
        yield _error("tasks", f"several tasks have the index {index}")
    for number, task in enumerate(tasks):
        # A key names a task that Codabench has already; all other keys are then ignored.
        if task.key is None:
            yield from _task(task, f"tasks.{number}", bundle)


def _task(task: Task, place: str, bundle: Contents) -> Iterator[Finding]:
    if not task.name:
        yield _error(f"{place}.name", "is missing")
    if task.scoring_program is None:
        yield _error(f"{place}.scoring_program", "is missing; every task needs one")
    for key in FILES_OF_A_TASK:
        name = getattr(task, key)
        # A key that is absent needs no files.
        files = bundle.files_of(name) if name else set()
        if files is None:
            yield _error(f"{place}.{key}", f"there is no folder or zip file {name!r} in the bundle")
        elif name and key in _PROGRAMS:
            yield from _program(bundle, name, files, f"{place}.{key}")


def _program(bundle: Contents, name: str, files: set[str], place: str) -> Iterator[Finding]:
    # Codabench takes either name.
    described = next((one for one in ("metadata.yaml", "metadata") if one in files), None)
    if described is None:
        yield _error(place, f"{name} has no metadata.yaml at its top")
        return
    try:
        metadata = yaml.safe_load(bundle.text_in(name, described))
    except _NOT_YAML as error:
        yield _error(place, f"{described} is not YAML: {error}")
        return
    if not isinstance(metadata, dict) or not metadata.get("command"):
        yield _error(place, f"{described} has no `command`")
    elif not _words(metadata["command"]):
        yield _error(place, f"`command` is no command line in {described}: {metadata['command']!r}")


def _words(command: object) -> list[str]:
    """Return the words of a command; none if it is not one."""
    try:
        return shlex.split(command) if isinstance(command, str) else []
    except ValueError:  # an open quote
        return []


def _phases(competition: Competition, bundle: Contents) -> Iterator[Finding]:
    known = {task.index for task in competition.tasks}
    # In the order in which they follow one another, see `_order`.
    phases = sorted(competition.phases, key=lambda phase: phase.index or 0)
    for phase in phases:
        place = f"phases.{phase.name}"
        if phase.end is not None and phase.end <= phase.start:
            yield _error(place, "ends before it starts")
        for index in phase.tasks:
            if index not in known:
                yield _error(f"{place}.tasks", f"there is no task with the index {index}")
        for key in FILES_OF_A_PHASE:
            name = getattr(phase, key)
            if name and bundle.files_of(name) is None:
                yield _error(f"{place}.{key}", f"there is no folder or zip file {name!r} in the bundle")
        if competition.queue is None and phase.execution_time_limit > DEFAULT_QUEUE_LIMIT_S:
            yield _warning(
                f"{place}.execution_time_limit", "the shared queue ends executions after 600 s: name a queue"
            )
    yield from _order(phases)


def _order(phases: Sequence[Phase]) -> Iterator[Finding]:
    if phases[0].auto_migrate_to_this_phase:
        yield _error(f"phases.{phases[0].name}", "is the first: nothing can be migrated to it")
    for one, following in pairwise(phases):
        if one.end is None:
            yield _error(f"phases.{one.name}.end", "is missing, but a phase follows")
        elif following.start <= one.end:
            verb = "overlaps with" if following.start < one.end else "starts at the very date that ends"
            yield _error(f"phases.{following.name}.start", f"{verb} {one.name}; start it a minute later")


def _leaderboard(leaderboard: Leaderboard, place: str) -> Iterator[Finding]:
    columns = leaderboard.columns
    for what in ("key", "index"):
        for value in _repeated(getattr(column, what) for column in columns):
            yield _error(f"{place}.columns", f"several columns have the {what} {value!r}")
    indexes = {column.index for column in columns}
    if leaderboard.primary_index not in indexes:
        yield _error(place, f"no column has the index {leaderboard.primary_index}, by which rows are ranked")
    for column in columns:
        # Both are given or neither.
        if (column.computation is None) != (not column.computation_indexes):
            yield _error(f"{place}.columns.{column.key}", "computation and computation_indexes belong together")
        for index in column.computation_indexes or ():
            if index not in indexes or index == column.index:
                yield _error(f"{place}.columns.{column.key}", f"computes from the column {index}, which it cannot")
