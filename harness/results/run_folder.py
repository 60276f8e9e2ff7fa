"""Read the folder of a run."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from harness.errors import UsageError
from harness.results.columns import MEASURES
from harness.results.dataframe import entries_frame
from harness.results.image_table import IMAGE_TABLE, read_image_table
from harness.results.measurement import Layer, TimingRecord
from harness.results.reading import reading
from harness.results.samples import read_timing
from harness.results.schema import Entry, Run
from harness.results.store import read_run
from harness.suggestions import choice

if TYPE_CHECKING:
    import pandas as pd

PerImage = Mapping[str, Mapping[str, Mapping[str, float]]]


LAYERS = TypeAdapter(list[Layer])


@dataclass(frozen=True)
class RunFolder:
    """The folder of a finished or interrupted run."""

    path: Path
    run: Run

    @cached_property
    def per_image(self) -> PerImage:
        """Quality by slug, image and measure; empty where the run has no ``per_image.csv``."""
        table: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
        for row in self.image_lines():
            slug, image = row.pop("slug"), row.pop("image")
            # Columns are empty where an image was not measured in a convention.
            table[slug][image] = {key: float(value) for key, value in row.items() if value}
        return table

    def image_lines(self) -> list[dict[str, str]]:
        """Return the lines of ``per_image.csv`` by column; empty where the run has none.

        Raises
        ------
        ResultsError
            The file is damaged or incomplete.
        """
        file = self.path / IMAGE_TABLE
        return read_image_table(file, self.run) if file.is_file() else []

    def timing(self, slug: str) -> TimingRecord | None:
        """Return every timed call of a row, or None if the folder has no samples of it.

        Raises
        ------
        ResultsError
            The file of samples is damaged.
        """
        if not is_file_name(slug) or not (self.path / "samples" / f"{slug}.json").is_file():
            return None
        return read_timing(self.path, slug)

    def layers(self, slug: str) -> list[Layer]:
        """Return a row's layers in the order in which they run; empty where none were recorded.

        Raises
        ------
        ResultsError
            The file of layers is damaged.
        """
        file = self.path / "layers" / f"{slug}.json"
        if not is_file_name(slug) or not file.is_file():
            return []
        with reading(file, "the layers cannot be read"):
            return LAYERS.validate_json(file.read_bytes())

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per entry, nested figures flattened as ``runtime_ms_median``, ``reparam_method``..."""
        return entries_frame(self.run)

    def per_image_frame(self) -> "pd.DataFrame":
        """Return one row per entry and image: slug, image and the four measures of quality."""
        import pandas as pd

        rows = [
            {"slug": slug, "image": image, **measures}
            for slug, images in self.per_image.items()
            for image, measures in images.items()
        ]
        return pd.DataFrame(rows, columns=["slug", "image", *MEASURES])


def find_entry(folder: RunFolder, name: str) -> Entry:
    """Return the row with this slug or name; case matters only if several rows match otherwise.

    Raises
    ------
    UsageError
        There is none.
    """
    entries = folder.run.entries
    matches = [entry for entry in entries if name == entry.slug] or [entry for entry in entries if name == entry.name]
    matches = matches or [entry for entry in entries if name.lower() in (entry.slug.lower(), entry.name.lower())]
    if not matches:
        hint = choice(name, [known for entry in entries for known in (entry.slug, entry.name) if known])
        raise UsageError(f"{folder.path} has no model {name!r}", hint=hint)
    return matches[0]


def is_file_name(slug: str) -> bool:
    """Return whether a slug is a valid file name that does not lead out of its folder."""
    # `Path(slug).name` differs from the slug if it has a separator or a trailing slash.
    return bool(slug) and Path(slug).name == slug and slug not in {".", ".."} and slug.isprintable()


def load_run(path: str | Path) -> RunFolder:
    """Read and check a run; ``path`` is its folder or its ``results.json``.

    Raises
    ------
    ResultsError
        The file is missing, is not JSON, or breaks the schema.
    """
    place = Path(path)
    return RunFolder(place if place.is_dir() else place.parent, read_run(place))
