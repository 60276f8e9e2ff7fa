"""Quality per image: gains over bicubic for one model and for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import pstdev

from harness.report.numbers import fixed
from harness.report.rows import Row
from harness.report.rules import metric_of
from harness.results.run_folder import RunFolder

# A larger map is slow to render and hard to read.
MOST_ROWS, MOST_IMAGES = 60, 24
# Gains, in dB, at which the colour of the map changes.
STEPS = (-0.5, -0.1, 0.1, 0.5, 1.0, 1.5)


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of one model; ``gain`` is the scored PSNR minus bicubic's on the same image, dB."""

    image: str
    measures: Mapping[str, float]
    gain: float | None


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Gains over bicubic: columns are images, rows are (row, gains in dB with the class of each one's colour).

    ``left_out`` counts the images and ``rows_left_out`` the rows that it does not show.
    """

    images: list[str]
    rows: list[tuple[Row, list[tuple[float | None, int]]]]
    left_out: int
    rows_left_out: int = 0


def bicubic_slug(folder: RunFolder) -> str | None:
    """Return the slug of the bicubic baseline, or None if the run has none."""
    slugs = [
        entry.slug for entry in folder.run.entries if entry.kind == "baseline" and entry.name.casefold() == "bicubic"
    ]
    # Baselines have fixed names; a submission called Bicubic is no baseline.
    return slugs[0] if slugs else None


def names_of(folder: RunFolder, image: str) -> list[str]:
    """Return the names that an image of which crops were kept may have in the table of images.

    In a run with several data sets, those have the label of the data set in front; crops are of the first one.
    """
    return [image, *(f"{one.label}/{image}" for one in folder.run.datasets[:1])]


def image_rows(folder: RunFolder, slug: str) -> list[ImageRow]:
    """Return the images of one row, in the order of the data set."""
    measured = folder.per_image.get(slug, {})
    gained = gains(folder, slug)
    names = [name for name in folder.run.dataset.image_names if name in measured]
    # Tables of a run with several data sets have names with labels, which the list of the data set lacks.
    names += [name for name in measured if name not in names]
    return [ImageRow(name, measured[name], gained.get(name)) for name in names]


def gains(folder: RunFolder, slug: str) -> dict[str, float]:
    """Return a row's PSNR minus bicubic's for each image, dB; empty if bicubic was not measured."""
    metric, reference = metric_of(folder.run), folder.per_image.get(bicubic_slug(folder) or "", {})
    return {
        name: measures[metric] - reference[name][metric]
        for name, measures in folder.per_image.get(slug, {}).items()
        # An interrupted run may lack images of either.
        if metric in measures and metric in reference.get(name, {})
    }


def heat_map(folder: RunFolder, rows: Sequence[Row]) -> HeatMap | None:
    """Return the map of the best rows, on the images where they differ most; None without per-image figures."""
    # Bicubic's own row would be zero everywhere.
    table = [(row, gained) for row in rows if (gained := gains(folder, row.entry.slug)) and _informs(folder, row)]
    if not table:
        return None
    names = [image.image for image in image_rows(folder, table[0][0].entry.slug)]
    shown = table[:MOST_ROWS]
    chosen = _most_disputed(names, [gained for _, gained in shown])
    cells = [(row, [(gained.get(name), _step(gained.get(name))) for name in chosen]) for row, gained in shown]
    return HeatMap(chosen, cells, len(names) - len(chosen), len(table) - len(shown))


def step_labels() -> list[str]:
    """Return the range of gains, in dB, that each colour of the map stands for."""
    texts = [fixed(limit, 1, signed=True) for limit in STEPS]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [f"below {texts[0]}", *between, f"{texts[-1]} and above"]


def _informs(folder: RunFolder, row: Row) -> bool:
    return row.entry.slug != bicubic_slug(folder)


def _most_disputed(names: Sequence[str], table: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the images with the largest spread between models, in the order of the data set."""
    if len(names) <= MOST_IMAGES:
        return list(names)
    spread = {name: pstdev([gained[name] for gained in table if name in gained] or [0.0]) for name in names}
    # The name decides between equal spreads, so that the page is reproducible.
    kept = set(sorted(names, key=lambda name: (-spread[name], name))[:MOST_IMAGES])
    return [name for name in names if name in kept]


def _step(gain: float | None) -> int:
    """Return the index of a gain's colour: 0 much worse than bicubic, 6 much better."""
    # Without a gain, the colour is that of no difference.
    return 2 if gain is None else sum(gain >= limit for limit in STEPS)
