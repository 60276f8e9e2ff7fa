"""Commands for stored runs: report, schema, comparison and history."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.application import P, command, err, existing_run, out, writable_file, writable_folder
from harness.cli.options import Json
from harness.errors import UsageError
from harness.suggestions import choice


class SummaryOption(enum.StrEnum):
    """Statistic that summarizes the timed calls of a stored run."""

    mean = "mean"
    median = "median"
    robust = "robust"


def of_stored_runs(function: Callable[P, None]) -> Callable[P, None]:
    """Let a command that reads stored runs end with ResultsError, whatever is damaged in them."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        from harness.results.reading import reading

        # The first path is the run's folder in all these commands.
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Path)]
        with reading(given[0] if given else Path("reports"), "the stored results cannot be used"):
            function(*args, **kwargs)

    return guarded


@command
@of_stored_runs
def report(
    run_folder: Annotated[
        Path, typer.Argument(help="Folder of a finished run, with its results.json.", show_default=False)
    ],
    figures: Annotated[bool, typer.Option("--figures", help="Also write figures for print: SVG, PDF, PNG.")] = False,
    statistic: Annotated[
        SummaryOption | None,
        typer.Option(
            help="Summarise the stored samples by another statistic, into resummarized-STATISTIC in the folder."
        ),
    ] = None,
) -> None:
    """Rebuild the leaderboard of a run from its results, byte for byte."""
    from harness.report.page import build_figures, build_report

    if statistic is not None:
        from harness.analysis.resummarize import write_resummarized
        from harness.cli.terminal import leaderboard_table

        # The report of the new folder is built; that of the run itself stays as it is.
        run, run_folder = write_resummarized(run_folder, statistic.value)
        out.print(leaderboard_table(run))
    out.print(f"leaderboard: {build_report(existing_run(run_folder))}", highlight=False, soft_wrap=True)
    if figures:
        build_figures(run_folder)
        out.print(f"figures: {run_folder / 'figures'}", highlight=False, soft_wrap=True)


@command
def schema(
    form: Annotated[
        str, typer.Argument(help="run, time, check, doctor, compare, compare-models, score or choose.")
    ] = "run",
) -> None:
    """Print the JSON Schema of results.json, or of what another command prints with --json."""
    from harness.cli.json_forms import FORMS

    if form not in FORMS:
        raise UsageError(f"there is no form {form!r}", hint=choice(form, FORMS))
    out.print_json(data=FORMS[form].model_json_schema())


@command
@of_stored_runs
def compare(
    before: Annotated[Path, typer.Argument(help="Folder of a run, the earlier one of two.", show_default=False)],
    after: Annotated[
        Path | None, typer.Argument(help="Folder of the later run; not needed with --models.", show_default=False)
    ] = None,
    models: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Compare these two models, the first of BEFORE, the second of AFTER or of the same run."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Page to write. [default: in AFTER]")] = None,
    as_json: Json = False,
) -> None:
    """Compare two runs, or two models: by how much they differ, and whether the difference is significant."""
    from harness.cli.json_forms import compare_models_output, compare_runs_output
    from harness.report import load_run

    if output is not None:
        writable_file(output)
    # Both folders are checked before either is read.
    for folder in filter(None, (before, after)):
        existing_run(folder)
    if models is not None:
        from harness.analysis.compare_models import compare_models
        from harness.cli.terminal import comparison_table

        # Without AFTER, both models are of one run.
        result = compare_models(load_run(before), models[0], load_run(after or before), models[1])
        if as_json:
            return typer.echo(compare_models_output(result).model_dump_json(indent=1))
        if result.rows:
            out.print(comparison_table(result))
        for remark in result.remarks:
            out.print(remark, markup=False, highlight=False)
        return None
    if after is None:
        raise UsageError("there is one run", hint="name a second one, or two models of it: --models A B")
    from harness.analysis.compare_runs import compare_runs
    from harness.report.compare import build_comparison, comparison_text

    comparison = compare_runs(load_run(before), load_run(after))
    if as_json:
        return typer.echo(compare_runs_output(comparison).model_dump_json(indent=1))
    typer.echo(comparison_text(comparison), nl=False)
    return out.print(f"page: {build_comparison(comparison, output)}", highlight=False, soft_wrap=True)


@command
@of_stored_runs
def history(
    model: Annotated[
        str | None,
        typer.Argument(help="Name of the model on the leaderboard; all models by default.", show_default=False),
    ] = None,
    reports: Annotated[Path, typer.Option("--in", help="Folder of runs.")] = Path("reports"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Page to write. [default: in that folder]")
    ] = None,
) -> None:
    """Follow one model, or all of them, over the runs of a folder, and mark what became significantly worse."""
    from harness.analysis.history import history_grid, model_history
    from harness.report.history import build_grid, build_history, grid_text, history_name, history_text

    if output is not None:
        writable_file(output)
    if model is None:
        grid = history_grid(reports)
        skipped = grid.skipped
        typer.echo(grid_text(grid), nl=False)
        page = build_grid(grid, output or reports / "history.html")
    else:
        found = model_history(reports, model)
        skipped = found.skipped
        typer.echo(history_text(found.points), nl=False)
        page = build_history(found, output or reports / history_name(found.points))
    for one in skipped:
        err.print(f"not read: {one}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"page: {page}", highlight=False, soft_wrap=True)


@command
@of_stored_runs
def publish(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.", show_default=False)],
    site: Annotated[Path, typer.Option("--out", help="Folder of the site.")] = Path("site"),
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Numbers in place of names and teams.")] = False,
    feedback: Annotated[
        bool,
        typer.Option("--feedback", help="Also write one folder per team, into a folder beside the site."),
    ] = False,
) -> None:
    """Write a static site of runs, without logs and without paths of this machine."""
    from harness.report.publish import publish as write_site
    from harness.report.publish import write_feedback

    writable_folder(site)
    for folder in runs:
        existing_run(folder)
    out.print(f"site: {write_site(runs, site, anonymous=anonymous)}", highlight=False, soft_wrap=True)
    if feedback:
        target = site.parent / f"{site.name}-feedback"
        teams = write_feedback(runs, target)
        out.print(f"feedback: {len(teams)} teams in {target}", highlight=False, soft_wrap=True)


@command
def serve(
    reports: Annotated[Path, typer.Argument(help="Folder of runs.")] = Path("reports"),
    port: Annotated[int, typer.Option(help="Port on this machine; 0 for a free one.")] = 8321,
) -> None:
    """Serve a folder of reports on this machine: list, compare and follow runs. Ctrl-C stops the server."""
    from harness.analysis.compare_runs import compare_runs
    from harness.report.serve import LOOPBACK, make_server

    with make_server(reports, port, compare_runs) as server:
        out.print(f"http://{LOOPBACK}:{server.server_port}/", highlight=False)
        server.serve_forever()
