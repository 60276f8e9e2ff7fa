"""``harness figure``: figures of a stored run for a paper."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.application import command, err, existing_run, writable_file
from harness.cli.options import nearest
from harness.cli.results import of_stored_runs
from harness.errors import UsageError

if TYPE_CHECKING:  # they import matplotlib, which takes a second
    from harness.report.crop_grid import Channel, Measure
    from harness.report.crop_pictures import Pixels
    from harness.report.scatter import PaperFigure
    from harness.results.run_folder import RunFolder


class QualityOption(enum.StrEnum):
    """Whose PSNR and SSIM stand below a crop."""

    image = "image"
    crop = "crop"


class ChannelOption(enum.StrEnum):
    """Colour of PSNR and SSIM."""

    rgb = "rgb"
    y = "y"


_FEWEST_PIXELS = 11  # of the window of SSIM


Axis = Annotated[
    str | None, typer.Option(help="What the axis shows: any numeric column. [default: runtime, and the scored PSNR]")
]
Crops = Annotated[
    list[str] | None,
    typer.Option(metavar="IMAGE:X,Y,SIZE...", help="Draw these crops instead, in HR pixels.", show_default=False),
]
Models = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME...", help="Only these models. [default: all; for crops the best six]"),
]
Highlight = Annotated[
    list[str] | None, typer.Option(metavar="NAME...", help="Models to point out.", show_default=False)
]
Baselines = Annotated[
    bool | None, typer.Option("--baselines/--no-baselines", help="Draw the interpolations. [default: yes]")
]
LogX = Annotated[bool | None, typer.Option("--log-x/--linear-x", help="Scale of the axis. [default: by the values]")]
LogY = Annotated[bool | None, typer.Option("--log-y/--linear-y", help="Scale of the axis. [default: by the values]")]
Quality = Annotated[
    QualityOption | None,
    typer.Option(
        parser=nearest(QualityOption),
        metavar="image|crop",
        help="crops: PSNR and SSIM of the whole image or of the crop. [default: image]",
    ),
]
ColourChannel = Annotated[
    ChannelOption | None,
    typer.Option(
        parser=nearest(ChannelOption), metavar="rgb|y", help="crops: channel of PSNR and SSIM. [default: the track's]"
    ),
]
Width = Annotated[str | None, typer.Option(help="Width, in in, cm, mm or pt. [default: 3.3in; for crops 7in]")]
Height = Annotated[str | None, typer.Option(help="Height. [default: 0.75 of the width]")]


@command
@of_stored_runs
def figure(
    run_folder: Annotated[Path, typer.Argument(help="Folder of a finished run.", metavar="RUN", show_default=False)],
    x: Axis = None,
    y: Axis = None,
    crops: Crops = None,
    models: Models = None,
    highlight: Highlight = None,
    baselines: Baselines = None,
    log_x: LogX = None,
    log_y: LogY = None,
    quality: Quality = None,
    channel: ColourChannel = None,
    width: Width = None,
    height: Height = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File: .pdf, .svg or .png.")] = Path("figure.pdf"),
) -> None:
    """Draw a figure of a run for a paper: any two columns as a scatter plot, or crops of the outputs."""
    from harness.report import load_run
    from harness.report.figure_file import inches, kind_of, write_figure

    # An unknown suffix is refused before the run is read.
    kind_of(output)
    writable_file(output)
    # About the widths of a page and of a column in papers of two columns.
    wide = inches(width or ("7in" if crops else "3.3in"), "--width")
    folder = load_run(existing_run(run_folder))
    if crops:
        _refuse("a scatter plot", x=x, y=y, baselines=baselines, log_x=log_x, log_y=log_y, height=height)
        drawn = _crop_figure(folder, crops, models or [], highlight or [], (wide, channel, quality))
    else:
        from harness.report.scatter import ScatterStyle, scatter

        _refuse("--crops", quality=quality, channel=channel)
        high = 0.75 * wide if height is None else inches(height, "--height")
        style = ScatterStyle(wide, high, log_x, log_y, highlight or (), models or (), baselines is not False)
        drawn = scatter(folder, x or "runtime", y or folder.run.track.metric, style)
    boxes = write_figure(drawn.figure, output)
    missing = f"the figure's font has no glyphs for {boxes[:40]}: boxes stand for them; write an .svg, which keeps text"
    for remark in [*drawn.remarks, *([missing] if boxes else [])]:
        err.print(remark, markup=False, highlight=False, soft_wrap=True)
    err.print(f"wrote {output}", markup=False, highlight=False, soft_wrap=True)


def _refuse(what: str, **options: object) -> None:
    """Raise UsageError if an option was given that the figure has no use for."""
    for name, value in options.items():
        if value is not None:
            hint = "leave it out" if what == "a scatter plot" else "add --crops IMAGE:X,Y,SIZE"
            raise UsageError(f"--{name.replace('_', '-')} belongs to {what}", hint=hint)


def _crop_figure(
    folder: RunFolder,
    crops: list[str],
    models: list[str],
    highlight: list[str],
    look: tuple[float, ChannelOption | None, QualityOption | None],
) -> PaperFigure:
    from harness.report.crop_grid import GridStyle, crop_grid
    from harness.results.crops import parse_choice

    width, channel, quality = look
    wanted = [parse_choice(text) for text in crops]
    small = [one for one in wanted if one.size < _FEWEST_PIXELS]
    if small:
        raise UsageError(f"a crop of {small[0].size} pixels is too small", hint="choose a size of 11 or more")
    # The channel is also needed to choose the measure, hence the default of `crop_grid` is repeated below.
    chosen: Channel | None = None if channel is None else channel.value
    measured_in = chosen or ("y" if folder.run.track.metric == "psnr_y" else "rgb")
    measure = _measure_of(measured_in) if quality is QualityOption.crop else None
    return crop_grid(folder, wanted, models, GridStyle(width, chosen, highlight, measure))


def _measure_of(channel: Channel) -> Measure:
    """Return what computes PSNR and SSIM of a crop, by the convention of the harness."""
    from harness.quality import evaluate_pair

    def measure(sr: Pixels, hr: Pixels) -> tuple[float, float]:
        found = evaluate_pair(sr, hr)
        return (found.psnr_y, found.ssim_y) if channel == "y" else (found.psnr_rgb, found.ssim_rgb)

    return measure
