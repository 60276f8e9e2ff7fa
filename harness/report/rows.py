"""Prepare the rows of the page: order, ties, classes of speed, best values."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import quote

from harness.report.bands import Band, band_of, bands_of
from harness.report.columns import columns_of, has_log_scores, runtime_of
from harness.report.rules import Metric, metric_of, quality
from harness.results.run_folder import RunFolder, is_file_name
from harness.results.schema import Entry, Run
from harness.statistics.pareto import on_front

# Slugs that need no quoting in an address or an HTML id.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the page.

    ``key`` names the row in links and stays the same from run to run. ``tied_above`` and
    ``tied_below`` say whether the tie line leads to the row above and below: it joins neighbours in rank whose scores
    do not differ significantly, past any baselines between them. ``places`` says by column where the row is ``best``
    or ``second-best``. ``stated`` marks a row of the figures that authors state.
    """

    key: str
    entry: Entry
    runtime: float | None
    band: Band | None
    tied_above: bool = False
    tied_below: bool = False
    pareto: bool = False
    log: str = ""
    page: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    stated: bool = False

    @property
    def anchor(self) -> str:
        """The id of the row in the page, safe in HTML whatever the submission calls itself."""
        # m for measured, u for unscored: keys of the two lists may be equal, since both may be positions.
        return f"{'m' if self.entry.status == 'ok' else 'u'}-{self.key}"

    @property
    def tied(self) -> int:
        """From how many ranked rows the row cannot be told apart."""
        return len(self.entry.tied_with)

    @property
    def unstable(self) -> bool:
        """Whether the runtime is based on too few or too scattered calls."""
        return self.entry.runtime_ms is not None and not self.entry.runtime_ms.stable

    @property
    def rank_range(self) -> str:
        """The ranks that the measurements leave possible, such as 2 to 5 with a dash; empty if unknown."""
        if self.entry.rank_range is None:
            return ""
        low, high = self.entry.rank_range
        return str(low) if low == high else f"{low}\N{EN DASH}{high}"

    @property
    def baseline(self) -> bool:
        """Whether the harness added the row itself."""
        return self.entry.kind == "baseline"


def scored_rows(folder: RunFolder) -> list[Row]:
    """Return the rows that were measured to the end, best first."""
    sign = -1.0 if folder.run.track.higher_is_better else 1.0
    entries = sorted(
        (entry for entry in folder.run.entries if entry.status == "ok"),
        key=lambda entry: _order(entry, sign, metric_of(folder.run)),
    )
    # By `id`, because stored files may give several rows the same slug.
    # Computed once for the table, not for each row.
    front, places = pareto_front(folder.run), best_places(folder.run)
    joined = tie_line(entries)
    bands = bands_of(folder.run.track.fps_bands)
    return [
        Row(
            key=_key(entry, index),
            entry=entry,
            runtime=runtime_of(entry, folder.run.protocol),
            band=band_of(entry.fps, bands) if entry.fps is not None else None,
            tied_above=index - 1 in joined,
            tied_below=index in joined,
            pareto=id(entry) in front,
            places=places[id(entry)],
            page=_page_link(entry),
        )
        for index, entry in enumerate(entries)
    ]


def unscored_rows(folder: RunFolder) -> list[Row]:
    """Return the rows without a score: unsupported, disqualified, failed; by name within each."""
    order = {"unsupported": 0, "disqualified": 1, "failed": 2}
    entries = sorted(
        (entry for entry in folder.run.entries if entry.status != "ok"),
        key=lambda entry: (order[entry.status], entry.name.casefold(), entry.slug),
    )
    return [
        Row(
            _key(entry, index),
            entry,
            runtime_of(entry, folder.run.protocol),
            None,
            log=_log_link(folder, entry),
            page=_page_link(entry),
        )
        for index, entry in enumerate(entries)
    ]


def pareto_front(run: Run) -> set[int]:
    """Return the ``id`` of each scored submission that no other beats in both the PSNR that is scored and runtime."""
    points, identities, metric = [], [], metric_of(run)
    for entry in run.entries:
        time, psnr = runtime_of(entry, run.protocol), quality(entry, metric)
        if entry.status == "ok" and entry.kind == "submission" and psnr is not None and time is not None:
            points.append((time, psnr))
            identities.append(id(entry))
    return {identity for identity, is_on in zip(identities, on_front(points), strict=True) if is_on}


def best_places(run: Run) -> Mapping[int, Mapping[str, str]]:
    """Return, by ``id`` of an entry and column, ``best`` or ``second-best`` among the scored submissions."""
    ranked = [entry for entry in run.entries if entry.status == "ok" and entry.kind == "submission"]
    logarithmic = has_log_scores(ranked)
    places: dict[int, dict[str, str]] = defaultdict(dict)
    for column in columns_of(run):
        # Scores beyond the range of numbers are all stored as the largest one; their logarithms are a column.
        if column.better is None or (column.key == "score" and logarithmic):
            continue
        # Compared as printed: a reader who sees two equal figures must not see one of them marked. A lower bound cannot
        # be the best, because the true figure is unknown, nor can a score that rests on one.
        shown = [(entry, column.rounded(entry)) for entry in ranked if column.exact(entry)]
        known = [(entry, value) for entry, value in shown if value is not None]
        # Distinct values, so that rows which print alike share their place.
        ladder = sorted({value for _, value in known}, reverse=column.better == "high")
        for name, value in zip(("best", "second-best"), ladder, strict=False):
            _name_place(places, [entry for entry, own in known if own == value], column.key, name)
    return places


def _name_place(places: dict[int, dict[str, str]], entries: Sequence[Entry], key: str, name: str) -> None:
    for entry in entries:
        places[id(entry)][key] = name


def _order(entry: Entry, sign: float, metric: Metric) -> tuple[float, float, float, str]:
    """Sort key: score, then rank, then the PSNR that is scored; baselines are sorted among the submissions."""
    rank = float("inf") if entry.rank is None else float(entry.rank)
    # The score may be cut off at the largest float where its logarithm is stored.
    value = entry.ordered_score
    score = float("inf") if value is None else sign * value
    return score, rank, -(quality(entry, metric) or 0.0), entry.name


def tie_line(entries: Sequence[Entry]) -> set[int]:
    """Return the positions from which the tie line leads to the next row.

    It joins each ranked row with the next ranked row if their scores do not differ significantly. Rows without a rank
    that stand between them, such as baselines, do not interrupt it.
    """
    ranked = [index for index, entry in enumerate(entries) if entry.rank is not None]
    joined: set[int] = set()
    for index, following in pairwise(ranked):
        if entries[following].slug and entries[following].slug in entries[index].tied_with:
            # All positions in between, so that the line is continuous past rows without a rank.
            joined.update(range(index, following))
    return joined


def _key(entry: Entry, index: int) -> str:
    """Return the slug, or the position of a row whose slug could not stand in an address."""
    return entry.slug if _PLAIN.fullmatch(entry.slug) else str(index)


def _page_link(entry: Entry) -> str:
    return quote(f"models/{entry.slug}.html") if is_file_name(entry.slug) else ""


def _log_link(folder: RunFolder, entry: Entry) -> str:
    for name in (f"logs/{entry.slug}.log", f"logs/{entry.slug}.txt"):
        if is_file_name(entry.slug) and (folder.path / name).is_file():
            return quote(name)
    return ""
