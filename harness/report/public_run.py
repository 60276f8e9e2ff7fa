"""A copy of a run for publication: without logs and paths of the organiser's machine, and without names on request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.report.name_hiding import Words, hiding
from harness.results.backend_rows import BackendRow
from harness.results.schema import Entry, Reparam, Run

_PATH = re.compile(r"(?<![\w:/.\\])(?:~?/|[A-Za-z]:[\\/])[^\s'\":,;()<>\[\]]*[\\/]?[^\s'\":,;()<>\[\]\\/]+")
"""An absolute path of either kind of system; what follows a host's name in an address is none."""


def without_paths(text: str) -> str:
    """Return text in which every absolute path is replaced by its last part."""
    return _PATH.sub(lambda found: re.split(r"[\\/]", found[0])[-1], text)


def public_run(run: Run, *, anonymous: bool = False) -> tuple[Run, Mapping[str, str]]:
    """Return a run without logs and paths, and the new slug of every row by its old one.

    Parameters
    ----------
    run
        The run. It is not changed.
    anonymous
        Whether to replace names and teams of submissions by numbers in the order of the table, and to leave out what
        would tell who they are: what they say of themselves, published figures, fingerprints and remarks.
    """
    slugs = {entry.slug: entry.slug for entry in run.entries}
    if anonymous:
        run, slugs = _anonymous(run)
    # Logs hold what submissions printed, which may name people, paths and hosts.
    entries = [_without_log(entry) for entry in run.entries]
    # Every text of the run, since a path may be in a message, a note, a warning or the command.
    cleaned = _with_words(run.model_copy(update={"entries": entries}).model_dump(mode="json"), without_paths)
    return Run.model_validate(cleaned), slugs


def _without_log(entry: Entry) -> Entry:
    if entry.error is None:
        return entry
    return entry.model_copy(update={"error": entry.error.model_copy(update={"log": ""})})


def _anonymous(run: Run) -> tuple[Run, dict[str, str]]:
    named, numbers = _named(run)
    slugs = {entry.slug: named[_key(entry)][1] if _key(entry) in named else entry.slug for entry in run.entries}
    replaced = names_hidden(run)

    def hidden(text: str) -> str:
        # Folders that are left out anyway come first: a name in one of them says nothing.
        return replaced(without_paths(text))

    entries = [_anonymous_entry(entry, named, numbers, hidden) for entry in run.entries]
    entries = [
        entry.model_copy(update={"tied_with": [slugs.get(slug, slug) for slug in entry.tied_with]}) for entry in entries
    ]
    pairs = [
        pair.model_copy(update={"slugs": tuple(slugs.get(slug, slug) for slug in pair.slugs)})
        for pair in run.comparisons
    ]
    update = {
        "entries": entries,
        "comparisons": pairs,
        "backends": [_anonymous_row(row, numbers, slugs) for row in run.backends],
        "warnings": [hidden(text) for text in run.warnings],
        "disturbances": run.disturbances
        and [one.model_copy(update={"text": hidden(one.text)}) for one in run.disturbances],
        # The command line may contain names.
        "run": run.run.model_copy(update={"command": "harness run"}),
    }
    return run.model_copy(update=update), slugs


def names_hidden(run: Run) -> Words:
    """Return a function that replaces the names, slugs, teams and authors of a run's submissions in a text.

    A submission has its number. A team has none, because it may have several submissions.
    """
    named, numbers = _named(run)
    submissions = [entry for entry in run.entries if entry.kind == "submission"]
    names = [(word, named[_key(one)][0]) for one in submissions for word in {one.name, one.slug}]
    names += [(row.name, f"Submission {number}") for row in run.backends if (number := numbers.get(row.slug))]
    known = {name.casefold() for name, _ in names}
    for entry in submissions:
        about = entry.about
        others = [entry.team, *([*about.authors, about.paper, about.code] if about else [])]
        names += [(word, "a team") for word in others if word and word.casefold() not in known]
    return hiding(names)


def _named(run: Run) -> tuple[dict[str, tuple[str, str]], dict[str, int]]:
    """Return the new name and slug of each submission, and the numbers of networks, by `_key`."""
    named, numbers = dict[str, tuple[str, str]](), dict[str, int]()
    # The backend that the run asked for, by which the row is named; a row may be executed by another one.
    asked = {cell.slug: cell.backend for row in run.backends for cell in row.cells}
    for entry in run.entries:
        if entry.kind == "submission":
            # Rows of one network on several backends share its number.
            number = numbers.setdefault(entry.variant_of or _key(entry), len(numbers) + 1)
            backend = asked.get(entry.slug, entry.backend) if entry.variant_of else ""
            name = f"Submission {number}" + (f" ({backend})" if backend else "")
            named[_key(entry)] = name, f"submission-{number}" + (f"-{backend}" if backend else "")
    for row in run.backends:
        numbers.setdefault(row.slug, len(numbers) + 1)
    return named, numbers


def _key(entry: Entry) -> str:
    # Runs of earlier releases may have rows without a slug.
    return entry.slug or f"name {entry.name}"


def _anonymous_entry(
    entry: Entry, named: Mapping[str, tuple[str, str]], numbers: Mapping[str, int], hidden: Words
) -> Entry:
    """Return a row without names in any text, as a message of one row may name the submission of another."""
    update: dict[str, Any] = {}
    if entry.kind == "submission":
        name, slug = named[_key(entry)]
        origin = f"submission-{numbers[entry.variant_of]}" if entry.variant_of else ""
        update = {"name": name, "team": "", "slug": slug, "variant_of": origin, **_UNKNOWN}
    if entry.error is not None:
        texts: dict[str, Any] = {"type": hidden(entry.error.type), "message": hidden(entry.error.message)}
        update["error"] = entry.error.model_copy(update=texts)
    if entry.reparam is not None:
        update["reparam"] = _anonymous_reparam(entry.reparam, hidden)
    if entry.runtime_ms is not None and entry.runtime_ms.note is not None:
        update["runtime_ms"] = entry.runtime_ms.model_copy(update={"note": hidden(entry.runtime_ms.note)})
    update["incomplete_ops"] = [hidden(name) for name in entry.incomplete_ops]
    return entry.model_copy(update=update)


def _anonymous_reparam(reparam: Reparam, hidden: Words) -> Reparam:
    update = {
        "method": _hidden_method(reparam.method, hidden),
        "reason": hidden(reparam.reason),
        "notes": [hidden(note) for note in reparam.notes],
        "forms": [form.model_copy(update={"method": _hidden_method(form.method, hidden)}) for form in reparam.forms],
    }
    return reparam.model_copy(update=update)


def _hidden_method(method: str, hidden: Words) -> str:
    """Return a method without names; ``none`` and ``automatic`` are the harness's own words."""
    kind, colon, name = method.partition(":")
    return f"{kind}:{hidden(name)}" if colon else method


def _anonymous_row(row: BackendRow, numbers: Mapping[str, int], slugs: Mapping[str, str]) -> BackendRow:
    cells = [cell.model_copy(update={"slug": slugs.get(cell.slug, "")}) for cell in row.cells]
    update = {"name": f"Submission {numbers[row.slug]}", "slug": f"submission-{numbers[row.slug]}", "cells": cells}
    return row.model_copy(update=update)


_UNKNOWN: Mapping[str, Any] = {"about": None, "published": None, "fingerprint": "", "notes": [], "macs_source": None}


def _with_words(value: Any, change: Words) -> Any:
    """Return JSON-like data with a change made to every text; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_with_words(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _with_words(item, change) for key, item in value.items()}
    return value
