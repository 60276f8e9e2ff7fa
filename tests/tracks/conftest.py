"""The published tables."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def table(shared: Path) -> Callable[[str], list[dict[str, str]]]:
    """Return a function that reads a published table by its name."""

    def read(name: str) -> list[dict[str, str]]:
        with (shared / "published" / f"{name}.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    return read
