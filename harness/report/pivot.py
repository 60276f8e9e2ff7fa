"""Table over several runs, as papers print it: models by data set, with PSNR and SSIM, a block of rows per scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from harness.errors import UsageError
from harness.report.caveats import RECONSTRUCTED, used_marks
from harness.report.exports import csv_text, html_table, json_text, markdown_notes, markdown_table, plain
from harness.report.latex import document, escaped, footnotes
from harness.results.columns import COLUMNS, MEASURES
from harness.results.run_folder import RunFolder
from harness.results.schema import Entry, QualityFigures, Run

DASH = "\N{EN DASH}"
_COLUMNS = {column.name: column for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class Block:
    """What was measured of the models at one scale on one data set.

    Attributes
    ----------
    scale, dataset
        Of the run.
    source
        Identifier of the run.
    convention, degradation
        As the run states them.
    figures
        Quality by name of the model.
    """

    scale: int
    dataset: str
    source: str
    convention: str
    degradation: str
    figures: Mapping[str, QualityFigures]


@dataclass(frozen=True, slots=True)
class Line:
    """One row: a model at one scale."""

    scale: int
    name: str
    entry: Entry
    highlighted: bool


@dataclass(frozen=True, slots=True)
class Pivot:
    """The table.

    Attributes
    ----------
    measures
        Keys of the figures in each cell, such as ``psnr_y`` and ``ssim_y``.
    datasets
        In the order in which the runs were given.
    lines
        Baselines first, then by the first measure on the first data set, at each scale.
    blocks
        By scale and data set.
    notes
        What stands below the table, as (sign, sentence).
    """

    measures: tuple[str, ...]
    datasets: list[str]
    lines: list[Line]
    blocks: Mapping[tuple[int, str], Block]
    notes: list[tuple[str, str]]

    def value(self, line: Line, dataset: str, measure: str) -> float | None:
        """Return a figure, or None if the model was not measured there."""
        block = self.blocks.get((line.scale, dataset))
        figures = None if block is None else block.figures.get(line.name)
        return None if figures is None else float(getattr(figures, measure))

    def place(self, line: Line, dataset: str, measure: str) -> str:
        """Return ``best``, ``second-best`` or nothing: the place among the submissions of that scale, as printed."""
        own = self.value(line, dataset, measure)
        if own is None or line.entry.kind == "baseline":
            return ""
        # Figures at different scales are not comparable.
        rivals = [one for one in self.lines if one.scale == line.scale and one.entry.kind == "submission"]
        values = {self.value(one, dataset, measure) for one in rivals}
        # Larger values of all measures are better.
        ladder = sorted({_rounded(value, measure) for value in values if value is not None}, reverse=True)
        # As printed, so that equal figures share their place.
        position = ladder.index(_rounded(own, measure))
        return ("best", "second-best")[position] if position < 2 else ""


def pivot_by_dataset(
    folders: Sequence[RunFolder], measures: Sequence[str] | None = None, highlight: Sequence[str] = ()
) -> Pivot:
    """Arrange several runs by data set.

    Parameters
    ----------
    folders
        Runs of one or several scales and data sets, by one convention.
    measures
        Which figures a cell holds: of ``psnr_rgb``, ``psnr_y``, ``ssim_rgb`` and ``ssim_y``. By default the PSNR that
        the track scores, and the SSIM of the same colour.
    highlight
        Names of the models to point out.

    Raises
    ------
    UsageError
        The runs cannot stand in one table, or there is no such measure or model.
    """
    chosen = tuple(measures or _default_measures(folders[0].run))
    for key in chosen:
        if key not in MEASURES:
            raise UsageError(f"a pivot holds no {key!r}", hint=f"choose among {', '.join(MEASURES)}")
    blocks = _blocks(folders)
    datasets = list(dict.fromkeys(dataset for _, dataset in blocks))
    # Sorted by the first measure on the first data set.
    lines = _lines(folders, blocks, datasets[0], chosen[0], highlight)
    names = {line.name for line in lines}
    for name in highlight:
        if name not in names:
            raise UsageError(f"there is no model {name!r}", hint=f"the models are {', '.join(sorted(names))}")
    return Pivot(chosen, datasets, lines, blocks, _notes(list(blocks.values()), lines, chosen))


def export_pivot(pivot: Pivot, form: str, *, whole: bool = True) -> str:
    """Return the table as text.

    Parameters
    ----------
    pivot
        The table.
    form
        ``csv`` and ``json``: one record for each model, scale and data set, with all digits. ``markdown``, ``latex``
        and ``html-fragment``: as printed, best bold, second underlined.
    whole
        For ``latex``: a document that compiles as it stands.

    Raises
    ------
    UsageError
        There is no such form.
    """
    forms = {"csv": _csv, "json": _json, "markdown": _markdown, "latex": _latex, "html-fragment": _html}
    if form not in forms:
        raise UsageError(f"there is no pivot as {form!r}", hint=f"choose one of {', '.join(forms)}")
    text = forms[form](pivot)
    return document(text) if form == "latex" and whole else text


def _default_measures(run: Run) -> tuple[str, str]:
    return (run.track.metric, "ssim_rgb" if run.track.metric == "psnr_rgb" else "ssim_y")


def _blocks(folders: Sequence[RunFolder]) -> dict[tuple[int, str], Block]:
    """Return the blocks by scale and data set."""
    blocks: dict[tuple[int, str], Block] = {}
    for folder in folders:
        for block in _blocks_of(folder.run):
            other = blocks.get((block.scale, block.dataset))
            # Two figures of one model in one cell would need a choice, which only the user can make.
            if other is not None:
                place = f"{block.dataset} at scale {block.scale}"
                hint = "name one of the two, or measure all models in one run"
                raise UsageError(f"{other.source} and {block.source} both measured {place}", hint=hint)
            # One block for each scale and data set, whichever run it comes from.
            blocks[block.scale, block.dataset] = block
    first = next(iter(blocks.values()))
    for block in blocks.values():
        if block.convention != first.convention:
            raise UsageError(
                f"{first.source} and {block.source} measured quality by different conventions",
                hint=f"{first.convention!r} and {block.convention!r} do not belong into one table",
            )
    return blocks


def _blocks_of(run: Run) -> list[Block]:
    """Return the blocks of one run: one for each data set, or one for its only data set."""
    measured = [entry for entry in run.entries if entry.status == "ok"]
    common = (run.run.id, run.run.convention)
    if run.datasets:
        return [
            Block(run.track.scale, one.name, *common, one.degradation, _of_label(measured, one.label))
            for one in run.datasets
        ]
    # A row that lacks one of the four figures has no cell.
    figures = {name: quality for name, entry in _named(measured) if (quality := _own_figures(entry)) is not None}
    return [Block(run.track.scale, run.dataset.name, *common, run.dataset.degradation, figures)]


def _of_label(entries: Sequence[Entry], label: str) -> dict[str, QualityFigures]:
    return {name: entry.datasets[label] for name, entry in _named(entries) if label in entry.datasets}


def _own_figures(entry: Entry) -> QualityFigures | None:
    values = {name: getattr(entry, name) for name in MEASURES}
    return None if None in values.values() else QualityFigures(**values)


def _named(entries: Sequence[Entry]) -> list[tuple[str, Entry]]:
    """Return entries with names that are unique in their run: namesakes are told apart by their slugs."""
    names = [entry.name for entry in entries]
    return [(e.name if names.count(e.name) == 1 else f"{e.name} ({e.slug})", e) for e in entries]


def _lines(
    folders: Sequence[RunFolder],
    blocks: Mapping[tuple[int, str], Block],
    dataset: str,
    measure: str,
    highlight: Sequence[str],
) -> list[Line]:
    lines: dict[tuple[int, str], Line] = {}
    for folder in folders:
        measured = [entry for entry in folder.run.entries if entry.status == "ok"]
        for name, entry in _named(measured):
            # The entry of the first run counts for what does not depend on the data set, such as parameters.
            lines.setdefault(
                (folder.run.track.scale, name), Line(folder.run.track.scale, name, entry, name in highlight)
            )

    def order(line: Line) -> tuple[int, bool, float, str]:
        block = blocks.get((line.scale, dataset))
        figures = None if block is None else block.figures.get(line.name)
        # Models without the first figure come first among their kind, since the order rises.
        value = float("-inf") if figures is None else float(getattr(figures, measure))
        return line.scale, line.entry.kind != "baseline", value, line.name

    return sorted(lines.values(), key=order)


def _notes(known: Sequence[Block], lines: Sequence[Line], measures: Sequence[str]) -> list[tuple[str, str]]:
    found = [(mark.sign, mark.meaning) for mark in used_marks([line.entry for line in lines], [])]
    found.append(("", f"{' / '.join(_COLUMNS[key].heading for key in measures)}; {known[0].convention}"))
    degradations = dict.fromkeys(block.degradation for block in known)
    if len(degradations) == 1:
        return [*found, ("", f"LR: {known[0].degradation}")]
    return [*found, *(("", f"LR of {block.dataset}, x{block.scale}: {block.degradation}") for block in known)]


def _rounded(value: float, measure: str) -> float:
    return round(value, _digits(measure))


def _digits(measure: str) -> int:
    return _COLUMNS[measure].digits.most


def _params(entry: Entry) -> str:
    return DASH if not entry.params else f"{entry.params / 1e3:.1f}"


def _signs(line: Line) -> str:
    return RECONSTRUCTED.sign if line.entry.reconstructed else ""


def _records(pivot: Pivot) -> list[dict[str, object]]:
    return [
        {
            "scale": line.scale,
            "model": line.name,
            "kind": line.entry.kind,
            "params_k": None if line.entry.params is None else line.entry.params / 1e3,
            "dataset": dataset,
            **{key: pivot.value(line, dataset, key) for key in pivot.measures},
            "highlighted": line.highlighted,
            "reconstructed": line.entry.reconstructed,
            "run": block.source,
            "convention": block.convention,
            "degradation": block.degradation,
        }
        for line in pivot.lines
        for dataset in pivot.datasets
        if (block := pivot.blocks.get((line.scale, dataset))) is not None
    ]


def _csv(pivot: Pivot) -> str:
    return csv_text(_records(pivot))


def _json(pivot: Pivot) -> str:
    return json_text(_records(pivot))


def _figures(pivot: Pivot, line: Line, dataset: str, marks: Mapping[str, tuple[str, str]]) -> str:
    """Return a cell such as ``31.84 / 0.8969``, with the marks of best and second."""
    texts = []
    for key in pivot.measures:
        value = pivot.value(line, dataset, key)
        before, after = marks.get(pivot.place(line, dataset, key), ("", ""))
        texts.append(DASH if value is None else f"{before}{value:.{_digits(key)}f}{after}")
    return " / ".join(texts)


def _markdown(pivot: Pivot) -> str:
    heads = ["Scale", "Model", "Params, K", *map(plain, pivot.datasets)]
    lines = [heads, ["--:", ":--", "--:", *[":-:"] * len(pivot.datasets)]]
    marks = {"best": ("**", "**"), "second-best": ("<u>", "</u>")}
    for line in pivot.lines:
        name = f"{plain(line.name)}{_signs(line)}"
        name = f"**{name}**" if line.highlighted else name
        cells = [_figures(pivot, line, dataset, marks) for dataset in pivot.datasets]
        lines.append([f"x{line.scale}", name, _params(line.entry), *cells])
    return markdown_table(lines) + markdown_notes(pivot.notes)


def _latex(pivot: Pivot) -> str:
    marks = {"best": (r"\textbf{", "}"), "second-best": (r"\underline{", "}")}
    # Without the colour, which the note below the table states.
    titles = [_COLUMNS[key].heading.split()[0] for key in pivot.measures]
    body: list[str] = []
    for position, line in enumerate(pivot.lines):
        if position and pivot.lines[position - 1].scale != line.scale:
            body.append(r"\midrule")
        cells = [_figures(pivot, line, dataset, marks).replace(DASH, "--") for dataset in pivot.datasets]
        name = escaped(line.name) + (RECONSTRUCTED.latex if line.entry.reconstructed else "")
        colour = r"\rowcolor{gray!15} " if line.highlighted else ""
        params = _params(line.entry).replace(DASH, "--")
        body.append(colour + " & ".join([rf"$\times${line.scale}", name, params, *cells]) + r" \\")
    lines = [
        "% needs: \\usepackage{booktabs} and \\usepackage[table]{xcolor}",
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{@{{}}llr{'c' * len(pivot.datasets)}@{{}}}}",
        r"\toprule",
        " & ".join(["Scale", "Model", "Params / K", *map(escaped, pivot.datasets)]) + r" \\",
        " & ".join(["", "", "", *[" / ".join(titles)] * len(pivot.datasets)]) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *footnotes(pivot.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _html(pivot: Pivot) -> str:
    marks = {"best": ("<strong>", "</strong>"), "second-best": ("<u>", "</u>")}
    titles = ["Scale", "Model", "Params, K", *pivot.datasets]
    rows = []
    for line in pivot.lines:
        cells = "".join(f"<td>{_figures(pivot, line, dataset, marks)}</td>" for dataset in pivot.datasets)
        name = f'<th scope="row"><bdi>{escape(line.name)}</bdi>{_signs(line)}</th>'
        style = ' class="highlight"' if line.highlighted else ""
        rows.append(f"<tr{style}><td>x{line.scale}</td>{name}<td>{_params(line.entry)}</td>{cells}</tr>")
    return html_table(titles, rows, pivot.notes)
