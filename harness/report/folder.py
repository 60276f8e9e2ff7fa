"""A run's folder, as the report reads it."""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.errors import ResultsError
from harness.results.schema import Run
from harness.results.store import read_run

PerImage = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class RunFolder:
    """A finished or interrupted run on disk."""

    path: Path
    run: Run

    @cached_property
    def per_image(self) -> PerImage:
        """Quality by slug, image and measure; empty where the run has no ``per_image.csv``."""
        table: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
        file = self.path / "per_image.csv"
        if not file.is_file():
            return table
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                slug, image = row.pop("slug"), row.pop("image")
                table[slug][image] = {key: float(value) for key, value in row.items() if value}
        return table

    def samples(self, slug: str) -> list[tuple[float, float]]:
        """Return raw timing samples as (seconds since the start, ms), in order; empty where none were kept."""
        file = self.path / "samples" / f"{slug}.json"
        if not slug or Path(slug).name != slug or not file.is_file():
            return []
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            return [(float(at), float(ms)) for at, ms in record["samples"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(f"the timing samples cannot be read: {error}", where=str(file)) from error


def open_run(path: Path) -> RunFolder:
    """Read and check a run; ``path`` is its folder or its ``results.json``.

    Raises
    ------
    ResultsError
        The file is missing, is not JSON, or breaks the schema.
    """
    return RunFolder(path if path.is_dir() else path.parent, read_run(path))
