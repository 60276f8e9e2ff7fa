"""A run's folder, as the report reads it."""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from harness.errors import ResultsError
from harness.results.dataframe import entries_frame
from harness.results.measurement import Layer
from harness.results.rounds import is_throttled, kept_rounds
from harness.results.schema import Run
from harness.results.store import read_run

if TYPE_CHECKING:
    import pandas as pd

PerImage = Mapping[str, Mapping[str, Mapping[str, float]]]


LAYERS = TypeAdapter(list[Layer])
MEASURES = ("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y")


@dataclass(frozen=True, slots=True)
class Trace:
    """Timed calls in order, as (seconds since the start, ms).

    ``rounds`` says how many calls each turn had, ``kept`` which of the turns count, and ``processes`` in which of the
    network's processes each was; all are empty where the model was timed alone.
    """

    clock: str
    warmup: list[tuple[float, float]]
    samples: list[tuple[float, float]]
    rounds: list[int]
    kept: list[bool] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)


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

    def trace(self, slug: str) -> Trace | None:
        """Return every timed call of a row, or None where none were kept.

        Raises
        ------
        ResultsError
            The file of samples is damaged.
        """
        file = self.path / "samples" / f"{slug}.json"
        if not is_file_name(slug) or not file.is_file():
            return None
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            warmup, samples = _pairs(record.get("warmup", [])), _pairs(record["samples"])
            rounds = [int(turn["calls"]) for turn in record.get("rounds", [])]
            turns = record.get("rounds", [])
            throttled = [is_throttled((turn.get("card") or {}).get("slowed_by", [])) for turn in turns]
            kept = kept_rounds([tuple(turn["anchor_ms"]) for turn in turns], throttled)
            processes = [int(turn.get("process", 0)) for turn in turns]
            return Trace(str(record.get("clock", "")), warmup, samples, rounds, kept, processes)
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
            raise ResultsError(f"the timing samples cannot be read: {error}", where=str(file)) from error

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
        try:
            return LAYERS.validate_json(file.read_bytes())
        except ValidationError as error:
            raise ResultsError("the layers cannot be read", where=str(file), hint="run it again") from error

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


def is_file_name(slug: str) -> bool:
    """Return whether a slug can name a file in the run's folder and no other."""
    return bool(slug) and Path(slug).name == slug and slug not in {".", ".."} and slug.isprintable()


def _pairs(values: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(float(at), float(ms)) for at, ms in values]


def load_run(path: Path) -> RunFolder:
    """Read and check a run; ``path`` is its folder or its ``results.json``.

    Raises
    ------
    ResultsError
        The file is missing, is not JSON, or breaks the schema.
    """
    return RunFolder(path if path.is_dir() else path.parent, read_run(path))
