"""Commands for images: compare two folders, prepare LR images, and manage data sets."""

from __future__ import annotations

import csv
import io
import json
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from harness.cli.application import EXIT_SOME_FAILED, command, err, existing, out, writable_folder
from harness.cli.counted import counted
from harness.cli.text_console import styled
from harness.errors import UsageError
from harness.suggestions import choice
from harness.text import pluralized, spreadsheet_text

if TYPE_CHECKING:
    from harness.quality import ImageFailure, ImageScore

# Pillow warns about damaged metadata with its own file and line. What matters becomes an error that names the image.
warnings.filterwarnings("ignore", module=r"PIL\.")

Row = dict[str, float | str | None]

_FREE = "free; see the catalogue for each image"
_FIGURES = ("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y")


@command
def quality(
    sr_dir: Annotated[Path, typer.Argument(help="Folder of upscaled images.", show_default=False)],
    hr_dir: Annotated[Path, typer.Argument(help="Folder of ground truth, matched by name.", show_default=False)],
    convention: Annotated[
        str, typer.Option(help="harness, ntire23, lrsrn, matlab, matlab-uint8, ntire-esr or basicsr.")
    ] = "harness",
    scale: Annotated[
        int | None, typer.Option(min=1, help="Cut HR to SR's size; required by conventions that crop the border.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Additional metric, such as lpips or a plug-in's; repeatable.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of threads. [default: all cores]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one line as soon as each image is done.")] = False,
) -> None:
    """Measure PSNR and SSIM between images of the same name in two folders."""
    from harness.quality import ImageFailure, ImageScore, average, get_convention, get_metric, score_folders
    from harness.quality.folders import count_names

    if as_json and as_csv:
        raise UsageError("--json and --csv are mutually exclusive", hint="choose one")
    rules = get_convention(convention)
    metrics = {name: get_metric(name) for name in metric or []}
    columns = (*_FIGURES, *metrics)
    results: list[ImageScore | ImageFailure] = []
    # Names in either folder: those without a partner are counted too, as failures.
    total = count_names(existing(sr_dir), existing(hr_dir))
    scored = score_folders(sr_dir, hr_dir, rules, scale=scale, workers=workers, metrics=metrics)
    # Lines of CSV are printed at once; a progress bar would be drawn between them.
    for result in scored if as_csv else counted(scored, total, "measuring"):
        if as_csv:
            # `results` is still empty at the first image, before which the header is printed.
            _print_csv([_row(result)], columns, header=not results)
        results.append(result)
    scores = [one for one in results if isinstance(one, ImageScore)]
    mean: Row = {"image": "mean"}
    if scores:
        mean |= asdict(average([one.quality for one in scores], rules))
        mean |= {name: fmean(one.others[name] for one in scores) for name in metrics}
    if as_csv:
        _print_csv([mean], columns, header=False)
    elif as_json:
        _print_json(rules.sentence, [_row(one) for one in results], mean)
    else:
        _print_table([*(_row(one) for one in results), mean], columns)
        err.print(rules.sentence, markup=False, highlight=False)
    _print_cuts([one.hr_cut for one in scores])
    failures = [one for one in results if isinstance(one, ImageFailure)]
    if failures:
        rest = f"; the mean is over the other {len(scores)}" if scores else ""
        err.print(f"{len(failures)} of {len(results)} images could not be measured{rest}", highlight=False)
        raise typer.Exit(EXIT_SOME_FAILED)


def _print_cuts(cuts: Sequence[str]) -> None:
    """Say on standard error how HR images were cut to the size of SR images, if any was."""
    for cut, reason in (("top left", ""), ("centre", ", where SR resembles HR more than at the top left")):
        if count := cuts.count(cut):
            err.print(
                f"HR cut to the size of SR at the {cut} in {count} of {len(cuts)} images{reason}", highlight=False
            )


def _row(result: ImageScore | ImageFailure) -> Row:
    from harness.quality import ImageScore

    if isinstance(result, ImageScore):
        return {"image": result.name, **asdict(result.quality), **result.others, "hr_cut": result.hr_cut}
    return {"image": result.name, "error": result.reason}


def _print_csv(rows: Iterable[Row], columns: Sequence[str], *, header: bool) -> None:
    stream = io.StringIO()
    # `restval`: a row of a failure has no figures, one of figures has no error.
    writer = csv.DictWriter(stream, ["image", *columns, "error", "hr_cut"], restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        writer.writerow({key: spreadsheet_text(cell) if isinstance(cell, str) else cell for key, cell in row.items()})
    out.print(stream.getvalue(), end="", markup=False, highlight=False, soft_wrap=True)


def _print_json(sentence: str, rows: Sequence[Row], mean: Row) -> None:
    """Print the results as JSON. It has no infinity, so that identical images have a PSNR of null."""
    content = {"convention": sentence, "images": [_finite(row) for row in rows], "mean": _finite(mean)}
    out.print(json.dumps(content, indent=2), markup=False, highlight=False, soft_wrap=True)


def _finite(row: Row) -> Row:
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in row.items()}


def _print_table(rows: Iterable[Row], columns: Sequence[str]) -> None:
    table = Table("image", *(column.replace("_", " ").upper() for column in columns))
    for row in rows:
        if row.get("error"):
            table.add_row(str(row["image"]), styled(str(row["error"]), "red"))
        else:
            table.add_row(str(row["image"]), *(_figure(row.get(column), column) for column in columns))
    out.print(table)


def _figure(value: float | str | None, column: str) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if column.startswith("psnr") else f"{value:.5f}"


@command
def prepare(
    hr_dir: Annotated[Path, typer.Argument(help="Folder of HR images.", show_default=False)],
    output: Annotated[
        Path, typer.Argument(help="Output folder for LR_xS and HR; --dataset accepts it.", show_default=False)
    ],
    scale: Annotated[int, typer.Option(min=1, help="Downscaling factor.")] = 2,
    degradation: Annotated[
        str, typer.Option(help="ntire23, bicubic, matlab, avif31 to avif63, jpegQ, jpegQ-444 or jpegQ-422.")
    ] = "ntire23",
    crop: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT of a centre crop, such as 2040x1080. [default: multiples]")
    ] = None,
    with_hr: Annotated[bool, typer.Option("--hr/--no-hr", help="Write the cropped HR images too, as PNG.")] = True,
    as_script: Annotated[
        bool, typer.Option("--as-script", help="Store LR of .jpg sources at quality 100, as prepare_data.py does.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of threads. [default: all cores]")] = None,
) -> None:
    """Generate LR images from HR images as the challenges do. A second call resumes an interrupted one."""
    from harness.data import PrepareOptions, get_degradation, list_images
    from harness.data import prepare as prepare_folder

    chosen = get_degradation(degradation)
    options = PrepareOptions(_crop(crop), with_hr, as_script)
    results = prepare_folder(existing(hr_dir), writable_folder(output), scale, chosen, options, workers=workers)
    states = []
    for one in counted(results, len(list_images(hr_dir)), "preparing"):
        states.append(one.state)
        if one.state == "failed":
            err.print(one.reason, style="red", markup=False, highlight=False, soft_wrap=True)
    summary = f"{states.count('made')} made, {states.count('kept')} kept, {states.count('failed')} failed"
    out.print(f"{output}: {summary} ({chosen.description})", markup=False, highlight=False, soft_wrap=True)
    if "failed" in states:
        raise typer.Exit(EXIT_SOME_FAILED)


def _crop(text: str | None) -> tuple[int, int] | None:
    """Return height and width from ``WIDTHxHEIGHT``."""
    if text is None:
        return None
    # Given as images are, width first; arrays have the height first.
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise UsageError(f"{text!r} is not a size", hint="write it as WIDTHxHEIGHT, such as 2040x1080")
    return int(height), int(width)


@command
def datasets(
    action: Annotated[str, typer.Argument(help="list; add NAME FOLDER; fetch NAME; verify NAME or FOLDER.")] = "list",
    name: Annotated[str | None, typer.Argument(help="Name of a data set.", show_default=False)] = None,
    folder: Annotated[Path | None, typer.Argument(help="Folder of HR images.", show_default=False)] = None,
) -> None:
    """List the standard test sets, register a folder under a name, download a data set, or verify its images."""
    if action == "list":
        return _list_datasets()
    if name is None or (action == "add" and folder is None):
        raise UsageError(f"datasets {action} needs more arguments", hint="see harness datasets --help")
    if action == "add" and folder is not None:
        from harness.data import add

        images = pluralized(add(name, existing(folder)), "image")
        return out.print(f"{name}: {images} in {folder}", markup=False, highlight=False)
    if action == "fetch":
        return _fetch(name)
    if action == "verify":
        return _verify(name)
    raise UsageError(f"there is no action {action!r}", hint=choice(action, ("list", "add", "fetch", "verify")))


def _fetch(name: str) -> None:
    from harness.data import fetch

    description = TextColumn("{task.description}", markup=False)
    with Progress(description, BarColumn(), TimeRemainingColumn(), DownloadColumn(), console=err) as bar:

        def show(received: int, total: int) -> None:
            # The task is added with the first report, when the download has begun.
            task = bar.task_ids[0] if bar.task_ids else bar.add_task(name)
            bar.update(task, completed=received, total=total or None)

        folder = fetch(name, show)
    out.print(f"{name}: in {folder}", markup=False, highlight=False, soft_wrap=True)


def _list_datasets() -> None:
    from harness.data import list_datasets

    table = Table("name", "images", "MB", "here", "licence")
    for one in list_datasets():
        known = one.known
        here = f"{one.found} in {one.folder}" if one.folder else "no"
        table.add_row(
            one.name,
            str((known and known.images) or one.found or "?"),
            str((known and known.megabytes) or ""),
            here,
            known.licence if known else _FREE if one.name == "embedded" else "",
        )
    out.print(table)


def _verify(name: str) -> None:
    from harness.data import registered, verify
    from harness.data.images import image_entries
    from harness.data.layouts import hr_folder, pairing_faults
    from harness.data.registry import KNOWN_DATASETS, require_name

    require_name(name)
    # A registered name comes before a folder of the same name.
    place = registered().get(name) or existing(Path(name))
    results = list(counted(verify(place, name=name), None, "verifying"))
    bad = [one.reason for one in results if one.state == "bad"]
    faults = [fault for fault in pairing_faults(place) if fault not in bad]
    for reason in (*bad, *faults):
        out.print(reason, markup=False, highlight=False, soft_wrap=True)
    out.print(f"{len(results) - len(bad)} of {len(results)} images are intact", highlight=False)
    known = KNOWN_DATASETS.get(name)
    here = len(image_entries(hr_folder(place)))
    missing = known is not None and known.images not in (None, here)
    if known is not None and missing:
        out.print(f"{name} has {known.images} HR images, but {here} are in {place}", markup=False, highlight=False)
    if bad or faults or missing:
        raise typer.Exit(EXIT_SOME_FAILED)
