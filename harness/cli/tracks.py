"""Commands for the rules of challenges: list and show tracks, score single figures, and rescore a stored run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.segment import Segments
from rich.table import Table

from harness.cli.application import command, err, existing, existing_run, out
from harness.cli.options import Json
from harness.errors import UsageError
from harness.suggestions import choice

if TYPE_CHECKING:
    from harness.tracks import Track

_WIDEST = 1000  # characters of a published table
_UNLIKELY = 100.0
"""Factor between a figure and the baseline's from which its unit is questioned."""
_OPTIONS = {
    "psnr": "--psnr", "bicubic": "--bicubic", "runtime_ms": "--runtime", "macs": "--flops", "params": "--params",
}  # fmt: skip
"""Options for the figures that have one."""


@command
def score(
    runtime: Annotated[float | None, typer.Option(help="Runtime, milliseconds.")] = None,
    psnr: Annotated[
        float | None, typer.Option(help="PSNR, dB: RGB unless the track scores Y. ntire-esr: on the validation set.")
    ] = None,
    track: Annotated[
        str, typer.Option(help="Challenge whose formula is used, or the TOML file of a custom track.")
    ] = "ntire23-x2",
    bicubic: Annotated[
        float | None,
        typer.Option(help="PSNR of bicubic on the same images, dB. [default: the challenge's test set]"),
    ] = None,
    flops: Annotated[float | None, typer.Option(help="FLOPs in G, as fvcore counts: multiply-accumulates.")] = None,
    params: Annotated[float | None, typer.Option(help="Parameters, millions.")] = None,
    psnr_test: Annotated[float | None, typer.Option(help="ntire-esr: RGB PSNR on the test set, dB.")] = None,
    figure: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE: any other figure of the formula, in base units. Repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute the score of a network from its figures."""
    from harness.tracks import get_track
    from harness.tracks.given_figures import check_figures, completed

    chosen = get_track(track)
    given = {
        "runtime_ms": runtime,
        "psnr": psnr,
        "psnr_test": psnr_test,
        "bicubic": bicubic,
        "macs": None if flops is None else 1e9 * flops,
        "params": None if params is None else 1e6 * params,
        **_named(figure or []),
    }
    # Adds what the track knows itself, such as bicubic's PSNR, and drops what was not given.
    figures = completed(chosen, given)
    check_figures(chosen, figures, _OPTIONS)
    if as_json:
        return _print_json(chosen, figures)
    return _print_score(chosen, figures)


def _named(texts: list[str]) -> dict[str, float]:
    """Parse NAME=VALUE."""
    figures = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            figures[name.strip()] = float(value)
        except ValueError:
            raise UsageError(f"--figure {text!r} is not NAME=VALUE", hint="such as --figure lpips=0.21") from None
    return figures


def _print_score(track: Track, figures: dict[str, float]) -> None:
    """Print the score, its parts, doubts about units, and whether the gates of the ranking are passed."""
    from harness.report.numbers import digits_for

    final = track.score(**figures)
    # From the natural logarithm to the decimal one.
    logarithm = float(track.log_scores(figures)) / math.log(10) if track.logarithmic else None
    decimals = max(4 if track.logarithmic or track.parts else 2, digits_for([final], most=12))
    # Scores of some tracks grow exponentially with quality, and have hundreds of digits then.
    out.print(f"{final:.{decimals}f}" if final < 1e15 else f"10^{logarithm or math.log10(final):.3f}", highlight=False)
    bicubic = f"; bicubic = {figures['bicubic']} dB" if "bicubic" in track.needs else ""
    notes = [f"{track.score_formula}{bicubic}"]
    if track.parts:
        parts = ", ".join(f"{name} {value:.6g}" for name, value in _parts(track, figures).items())
        notes.append(parts if logarithm is None else f"{parts}; log10 of the score {logarithm:.3f}")
    for note in [*notes, *_doubts(track, figures)]:
        err.print(note)


def _parts(track: Track, figures: dict[str, float]) -> dict[str, float]:
    return {name: float(part(figures)) for name, part in track.parts.items()}


def _doubts(track: Track, figures: dict[str, float]) -> list[str]:
    """Return doubts about units, and whether the gates of the ranking are passed."""
    questions = [question for name, value in figures.items() if (question := _unit_question(track, name, value))]
    return [*questions, *_gate_notes(track, figures)]


def _print_json(track: Track, figures: dict[str, float]) -> None:
    from harness.cli.json_forms import ScoreOutput

    final = track.score(**figures)
    log10 = float(track.log_scores(figures)) / math.log(10) if track.logarithmic else None
    form = ScoreOutput(
        track=track.name,
        score=final,
        score_log10=log10 if log10 is not None else math.log10(final) if final > 0 else None,
        formula=track.score_formula,
        figures=figures,
        parts={name: value if math.isfinite(value) else None for name, value in _parts(track, figures).items()},
        notes=_doubts(track, figures),
    )
    typer.echo(form.model_dump_json(indent=1))


_UNITS = {
    "runtime_ms": ("--runtime", "milliseconds", 1.0, "microseconds", "seconds"),
    "macs": ("--flops", "G", 1e9, "M", "T"),
    "params": ("--params", "millions", 1e6, "thousands", "billions"),
}
"""Option, its unit, the unit's size, and a smaller and a larger unit, by the figure's name."""


def _unit_question(track: Track, name: str, value: float) -> str | None:
    """Return a question about the unit of a figure that is a hundred times the baseline's, or a hundredth of it."""
    reference = track.baseline.get(name)
    if reference is None or name not in _UNITS or value <= 0:
        return None
    # Networks of a track differ less from its baseline than units differ from each other.
    ratio = value / reference
    if 1 / _UNLIKELY < ratio < _UNLIKELY:
        return None
    option, unit, size, smaller, larger = _UNITS[name]
    other, said = (smaller, f"{ratio:.0f}") if ratio > 1 else (larger, f"{ratio:.2g}")
    return (
        f"warning: {option} {value / size:g} is {said} times the baseline's {reference / size:g}: "
        f"is it in {other} and not in {unit}?"
    )


def _gate_notes(track: Track, figures: dict[str, float]) -> list[str]:
    if not track.gates:
        return []
    rule = " and ".join(gate.text for gate in track.gates)
    unknown = [gate.figure for gate in track.gates if gate.figure not in figures]
    if unknown:
        return [f"ranked only with {rule}: add {', '.join(unknown)} to check (--psnr, --psnr-test)"]
    return [f"not ranked: it needs {rule}" if track.failed_gates(figures) else f"ranked: it has {rule}"]


@command
def tracks(
    action: Annotated[str, typer.Argument(help="list; show NAME; check FILE.")] = "list",
    name: Annotated[str | None, typer.Argument(help="Name of a track, or a TOML file.", show_default=False)] = None,
) -> None:
    """List the tracks, show the rules, sources and published table of one, or validate a custom track's TOML file."""
    from harness.timing import get_protocol
    from harness.tracks import get_track, read_track

    if action == "list":
        return _list_tracks()
    if action not in {"show", "check"}:
        raise UsageError(f"there is no action {action!r}", hint=choice(action, ("list", "show", "check")))
    if name is None:
        raise UsageError(f"tracks {action} needs a name", hint="see harness tracks --help")
    if action == "check":
        track = read_track(existing(Path(name)))
        if track.protocol is not None:
            get_protocol(track.protocol)
        needs = ", ".join(track.needs)
        out.print(f"{track.name}: valid; its score needs {needs}", soft_wrap=True)
        if track.given_by_hand:
            given = ", ".join(track.given_by_hand)
            out.print(f"a run does not measure {given}: harness score --figure takes such figures", soft_wrap=True)
        if not track.has_intervals:
            out.print(_NO_INTERVALS, soft_wrap=True)
        return None
    return _show_track(get_track(name))


_NO_INTERVALS = (
    "its scores have no intervals, rank ranges or tests: the formula uses other quality than the PSNR that is scored"
)


def _list_tracks() -> None:
    from harness.tracks import get_track, list_tracks

    table = Table("name", "scale", "title", "score needs", "higher is better")
    for name in list_tracks():
        track = get_track(name)
        better = "yes" if track.higher_is_better else "no"
        table.add_row(name, f"x{track.scale}", track.title, ", ".join(track.needs), better)
    out.print(table)


def _show_track(track: Track) -> None:
    height, width = track.input_shape[2:]
    facts = {
        "title": track.title,
        "scale": f"x{track.scale}, timed at {width}x{height} -> {width * track.scale}x{height * track.scale}",
        "degradation": track.degradation,
        "quality": f"{track.metric} by the convention {track.convention}",
        "protocol": track.protocol or "the harness's default",
        "data sets": "; ".join(f"{one.role}: {one.title}" for one in track.datasets),
        "gates": "; ".join(gate.text for gate in track.gates),
        "score": track.score_formula,
        "needs": ", ".join(track.needs),
        "parts": ", ".join(track.parts),
        "further ranks": "; ".join(f"{name}: ranks of {', '.join(of)}" for name, of in track.rank_sums.items()),
        "source": track.source,
    }
    for heading, text in facts.items():
        if text:
            out.print(f"{heading + ':':<15}{text}", soft_wrap=True)
    for remark in track.remarks:
        out.print(f"{'note:':<15}{remark}", soft_wrap=True)
    if track.published is not None:
        # Each row is a dictionary by column; the first one's keys are the headings.
        rows = track.published.rows()
        table = Table(*rows[0], title=f"published: {track.published.source}", title_justify="left")
        for row in rows:
            table.add_row(*row.values())
        # Figures that were cut off at the width of a terminal would not be those that the challenge printed.
        out.print(Segments(out.render(table, out.options.update(width=_WIDEST))), end="", soft_wrap=True)


@command
def rescore(
    run_folder: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    track: Annotated[str, typer.Option(help="Track whose rules are applied, or the TOML file of a custom one.")],
    runtime: Annotated[
        str, typer.Option(help="measured, or published: the runtimes that the models' authors state.")
    ] = "measured",
) -> None:
    """Apply another track's rules to the stored figures of a run. Nothing is measured, and no figure is invented."""
    from harness.analysis.rescore import write_rescored
    from harness.cli.terminal import leaderboard_table
    from harness.report.page import build_report
    from harness.tracks import get_track

    if runtime not in {"measured", "published"}:
        raise UsageError(f"there is no runtime {runtime!r}", hint="choose measured or published")
    result = write_rescored(existing_run(run_folder), get_track(track), published=runtime == "published")
    out.print(leaderboard_table(result.run))
    for line in result.missing:
        out.print(line, soft_wrap=True)
    out.print(f"leaderboard: {build_report(result.folder)}", highlight=False, soft_wrap=True)
