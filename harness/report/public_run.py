"""A copy of a run for publication: without logs and paths of the organiser's machine, and without names on request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from harness.results.backend_rows import BackendRow
from harness.results.schema import Entry, Run

Words = Callable[[str], str]

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
    numbers, slugs, words = dict[str, int](), dict[str, str](), dict[str, str]()
    # The backend that the run asked for, by which the row is named; a row may be executed by another one.
    asked = {cell.slug: cell.backend for row in run.backends for cell in row.cells}
    entries = []
    for entry in run.entries:
        if entry.kind != "submission":
            slugs[entry.slug] = entry.slug
            entries.append(entry)
            continue
        # Rows of one network on several backends share its number.
        number = numbers.setdefault(entry.variant_of or entry.slug, len(numbers) + 1)
        backend = asked.get(entry.slug, entry.backend) if entry.variant_of else ""
        name = f"Submission {number}" + (f" ({backend})" if backend else "")
        slugs[entry.slug] = f"submission-{number}" + (f"-{backend}" if backend else "")
        words |= {word: name for word in (entry.name, entry.slug, entry.team) if word}
        entries.append(entry.model_copy(update={"name": name, "team": "", "slug": slugs[entry.slug], **_UNKNOWN}))
    # Only now, because a message of one row may name the submission of another.
    hidden = _replacing(words)
    entries = [
        entry.model_copy(
            update={
                "variant_of": f"submission-{numbers[entry.variant_of]}" if entry.variant_of else "",
                "tied_with": [slugs.get(slug, slug) for slug in entry.tied_with],
                "error": entry.error and entry.error.model_copy(update={"message": hidden(entry.error.message)}),
            }
        )
        for entry in entries
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


def _anonymous_row(row: BackendRow, numbers: dict[str, int], slugs: Mapping[str, str]) -> BackendRow:
    number = numbers.setdefault(row.slug, len(numbers) + 1)
    cells = [cell.model_copy(update={"slug": slugs.get(cell.slug, "")}) for cell in row.cells]
    update = {"name": f"Submission {number}", "slug": f"submission-{number}", "cells": cells}
    return row.model_copy(update=update)


_UNKNOWN: Mapping[str, Any] = {"about": None, "published": None, "fingerprint": "", "notes": [], "macs_source": None}


def _replacing(words: Mapping[str, str]) -> Words:
    if not words:
        return lambda text: text
    # Longer words come first, because a name may contain another one.
    pattern = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))
    return lambda text: pattern.sub(lambda found: words[found[0]], text)


def _with_words(value: Any, change: Words) -> Any:
    """Return JSON-like data with a change made to every text; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_with_words(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _with_words(item, change) for key, item in value.items()}
    return value
