"""``harness figure``: figures of a stored run for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.application import command, err, existing_run
from harness.cli.results import of_stored_runs


@command
@of_stored_runs
def figure(
    run_folder: Annotated[Path, typer.Argument(help="Folder of a finished run.", metavar="RUN", show_default=False)],
    x: Annotated[
        str | None, typer.Option("--x", help="Horizontal axis: any numeric column. [default: runtime]")
    ] = None,
    y: Annotated[
        str | None, typer.Option("--y", help="Vertical axis. [default: the PSNR that the track scores]")
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--models", metavar="NAME...", help="Only these models. [default: all]", show_default=False),
    ] = None,
    highlight: Annotated[
        list[str] | None,
        typer.Option("--highlight", metavar="NAME...", help="Models to point out.", show_default=False),
    ] = None,
    baselines: Annotated[
        bool | None, typer.Option("--baselines/--no-baselines", help="Draw the interpolations. [default: yes]")
    ] = None,
    log_x: Annotated[
        bool | None, typer.Option("--log-x/--linear-x", help="Scale of the axis. [default: by the values]")
    ] = None,
    log_y: Annotated[
        bool | None, typer.Option("--log-y/--linear-y", help="Scale of the axis. [default: by the values]")
    ] = None,
    width: Annotated[str, typer.Option("--width", help="Width, in in, cm, mm or pt.")] = "3.3in",
    height: Annotated[str | None, typer.Option("--height", help="Height. [default: 0.75 of the width]")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File: .pdf, .svg or .png.")] = Path("figure.pdf"),
) -> None:
    """Draw a figure of a run for a paper: any two columns as a scatter plot."""
    from harness.report import load_run
    from harness.report.figure_file import inches, kind_of, write_figure
    from harness.report.scatter import ScatterStyle, scatter

    kind_of(output)
    wide = inches(width, "--width")
    high = 0.75 * wide if height is None else inches(height, "--height")
    folder = load_run(existing_run(run_folder))
    style = ScatterStyle(wide, high, log_x, log_y, highlight or (), models or (), baselines is not False)
    drawn = scatter(folder, x or "runtime", y or folder.run.track.metric, style)
    write_figure(drawn.figure, output)
    for remark in drawn.remarks:
        err.print(remark, markup=False, highlight=False, soft_wrap=True)
    err.print(f"wrote {output}", markup=False, highlight=False, soft_wrap=True)
