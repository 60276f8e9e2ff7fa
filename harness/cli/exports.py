"""``harness export``: tables, tables over several runs, the skeleton of a paper, and competitions for Codabench."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.application import command, err, existing_run, writable_file, writable_folder
from harness.cli.results import of_stored_runs
from harness.errors import UsageError
from harness.files import write_atomically
from harness.suggestions import choice


class PivotOption(enum.StrEnum):
    """How several runs are arranged in one table."""

    dataset = "dataset"


@command
@of_stored_runs
def export(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of a finished run; several with --pivot; a track with codabench.", show_default=False
        ),
    ],
    form: Annotated[
        str, typer.Option("--format", help="csv, json, markdown, latex, html-fragment, paper or codabench.")
    ] = "markdown",
    columns: Annotated[str | None, typer.Option(help="Comma-separated keys of columns, in order.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write; folder for paper. [default: the terminal; paper; bundle.zip]"
        ),
    ] = None,
    ci: Annotated[bool, typer.Option("--ci", help="Print the 95 % intervals behind figures.")] = False,
    published: Annotated[bool, typer.Option("--published", help="Add rows of the authors' own figures.")] = False,
    backends: Annotated[
        bool, typer.Option("--backends", help="Networks by backend, of a run with several, instead of the leaderboard.")
    ] = False,
    pivot: Annotated[PivotOption | None, typer.Option(help="dataset: models by data set, over several runs.")] = None,
    highlight: Annotated[
        list[str] | None, typer.Option(help="Model to point out in a pivot; repeatable.", show_default=False)
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="codabench: test set, as for run; repeatable. [default: embedded]")
    ] = None,
    docker_image: Annotated[
        str | None, typer.Option(help="codabench: image that the compute workers pull. [default: a placeholder]")
    ] = None,
    queue: Annotated[
        str | None, typer.Option(help="codabench: vhost of your own queue. [default: the shared queue]")
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option(min=0.1, help="codabench: seconds of timing per network. [default: the protocol's]")
    ] = None,
) -> None:
    """Write the leaderboard as CSV, JSON, Markdown, LaTeX or HTML, a paper's skeleton, or a Codabench competition."""
    if form == "codabench":
        return _export_bundle(sources, output or Path("bundle.zip"), dataset, docker_image, queue, time_budget)
    if dataset or docker_image or queue or time_budget:
        hint = "the data set of a run is stored in it"
        raise UsageError("--dataset, --docker-image, --queue and --time-budget belong to --format codabench", hint=hint)
    # None stands for the columns that are usual for the format.
    chosen = [key.strip() for key in columns.split(",")] if columns else None
    if backends and (columns or ci or published or pivot):
        hint = "they choose what the leaderboard shows; the table of backends has all its figures"
        raise UsageError("--columns, --ci, --published and --pivot do not belong to --backends", hint=hint)
    if highlight and pivot is None:
        raise UsageError("--highlight belongs to --pivot", hint="add --pivot dataset")
    return _export_runs(
        sources, form, chosen, output, _Style(ci, published, pivot is not None, tuple(highlight or ()), backends)
    )


@dataclass(frozen=True, slots=True)
class _Style:
    """How a table is printed; see the options."""

    ci: bool
    published: bool
    pivot: bool
    highlight: tuple[str, ...]
    backends: bool = False


def _export_runs(
    sources: list[Path],
    form: str,
    columns: list[str] | None,
    output: Path | None,
    style: _Style,
) -> None:
    from harness.report import load_run
    from harness.report.backend_table import export_backends
    from harness.report.exports import FORMS
    from harness.report.exports import export as export_run
    from harness.report.paper import write_paper
    from harness.report.pivot import export_pivot, pivot_by_dataset
    from harness.results.reading import reading

    if len(sources) > 1 and not style.pivot:
        raise UsageError("there are several runs", hint="name one, or arrange them in one table: --pivot dataset")
    forms = (*FORMS, "paper", "codabench")
    if not (style.backends or style.pivot or form in forms):
        raise UsageError(f"there is no export {form!r}", hint=choice(form, forms))
    # Tables read further files of the run when they need them, so they are written within the context.
    with reading(sources[0], "the stored results cannot be used"):
        folders = [load_run(existing_run(source)) for source in sources]
        if style.backends:
            return _write(export_backends(folders[0].run, form), output)
        if style.pivot:
            return _write(export_pivot(pivot_by_dataset(folders, columns, style.highlight), form), output)
        if form == "paper":
            written = write_paper(folders[0], writable_folder(output or Path("paper")))
            return err.print(f"wrote {written[0]} and {len(written) - 1} figures", markup=False, highlight=False)
        return _write(export_run(folders[0], form, columns, ci=style.ci, published=style.published), output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        # The text of most forms ends with a line break already.
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        write_atomically(writable_file(output), text.encode())
        err.print(f"wrote {output}", markup=False, highlight=False)


def _export_bundle(
    sources: list[Path],
    output: Path,
    datasets: list[str] | None,
    docker_image: str | None,
    queue: str | None,
    time_budget: float | None,
) -> None:
    from harness.codabench import BundleRequest, check_bundle, write_bundle
    from harness.codabench.bundle import EXAMPLE_IMAGE
    from harness.codabench.settings import Measuring

    if len(sources) != 1:
        raise UsageError("a competition has one track", hint="harness export TRACK --format codabench -o bundle.zip")
    request = BundleRequest(
        track=str(sources[0]),
        start=datetime.now(UTC),
        datasets=tuple(datasets or ["embedded"]),
        docker_image=docker_image or EXAMPLE_IMAGE,
        measuring=Measuring(time_budget_s=time_budget),
        queue=queue,
    )
    write_bundle(request, writable_file(output))
    err.print(f"wrote {output}", markup=False, highlight=False)
    for one in check_bundle(output):
        err.print(f"{one.level}: {one.where}: {one.message}", markup=False, highlight=False, soft_wrap=True)
