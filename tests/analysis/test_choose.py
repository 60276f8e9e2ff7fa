"""What `choose` says of networks that are equally good, and of figures that a run does not know."""

from pathlib import Path
from typing import Any

import pytest

from harness.analysis.choose import Choice, Limits, choose
from harness.cli.choices import print_choice
from harness.results.run_folder import RunFolder, load_run


def of_rows(root: Path, rows: dict[str, dict[str, Any]], limits: Limits | None = None, by: str = "psnr_rgb") -> Choice:
    """Choose among rows of the sample run, by name, with other figures."""
    folder = load_run(root / "reports" / "sample")
    base = next(entry for entry in folder.run.entries if entry.rank == 1)
    assert base.runtime_ms is not None
    entries = []
    for name, figures in rows.items():
        ms = figures.pop("ms", 10.0)
        time = base.runtime_ms.model_copy(update={"median": ms, "mean": ms, "ci": (ms, ms)})
        entries.append(base.model_copy(update={"name": name, "slug": name, "runtime_ms": time, **figures}))
    run = folder.run.model_copy(update={"entries": entries, "backends": []})
    return choose(RunFolder(folder.path, run), limits or Limits(), by)


@pytest.mark.parametrize(
    ("limits", "figure", "reason"),
    [
        (Limits(params_k=100), "params", "its number of parameters is unknown"),
        (Limits(memory_mb=100), "peak_memory_bytes", "its memory is unknown"),
        (Limits(energy_j=100), "energy", "its energy is unknown"),
    ],
)
def test_an_unknown_figure_is_said_to_be_unknown(root: Path, limits: Limits, figure: str, reason: str) -> None:
    choice = of_rows(root, {"A": {figure: None}}, limits)
    assert [why for _, why in choice.left_out] == [reason]


def test_too_many_parameters_are_stated(root: Path) -> None:
    choice = of_rows(root, {"A": {"params": 200_000}}, Limits(params_k=100))
    assert [why for _, why in choice.left_out] == ["200.0 K parameters"]


@pytest.mark.parametrize(
    ("limits", "figures", "reason"),
    [
        (Limits(fps=24), {"ms": 1000 / 23.97}, "23.97 fps"),
        (Limits(memory_mb=100), {"peak_memory_bytes": 100_300_000}, "100.3 MB"),
        (Limits(params_k=41.4), {"params": 41_420}, "41.42 K parameters"),
    ],
)
def test_a_figure_that_misses_a_limit_is_not_printed_as_the_limit(
    root: Path, limits: Limits, figures: dict[str, Any], reason: str
) -> None:
    assert [why for _, why in of_rows(root, {"A": figures}, limits).left_out] == [reason]


@pytest.mark.parametrize("by", ["macs_g", "score"])
def test_a_lower_bound_is_not_the_best_choice(root: Path, by: str) -> None:
    partly = {"macs": 10, "score": 99.0, "incomplete_ops": ["custom::warp"], "partly_counted": ["macs"]}
    choice = of_rows(root, {"seen": {}, "partly": partly}, by=by)
    assert [one.entry.name for one in choice.fitting] == ["seen"]
    ((entry, reason),) = choice.left_out
    assert entry.name == "partly"
    assert "lower bound" in reason
    assert [one.entry.name for one in of_rows(root, {"seen": {}, "partly": dict(partly)}).fitting] == ["seen", "partly"]


def test_networks_in_front_are_those_that_none_beats_in_one_figure_and_equals_in_the_other(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = of_rows(
        root,
        {
            "best": {"psnr_rgb": 31.0, "ms": 10.0},
            "twin": {"psnr_rgb": 31.0, "ms": 10.0},
            "as good and slower": {"psnr_rgb": 31.0, "ms": 12.0},
            "worse and as fast": {"psnr_rgb": 30.0, "ms": 10.0},
            "faster": {"psnr_rgb": 29.0, "ms": 5.0},
        },
    )
    points = {one.entry.name: (one.value, one.runtime_ms, one.in_front) for one in choice.fitting}
    for value, ms, in_front in points.values():
        beaten = any(
            (other >= value and time < ms) or (other > value and time <= ms) for other, time, _ in points.values()
        )
        assert in_front == (not beaten)
    assert [(slow.value, fast.value) for slow, fast in choice.steps()] == [(31.0, 29.0)]
    print_choice(choice)
    printed = " ".join(capsys.readouterr().out.replace("\n", " ").split())
    assert "another is better" not in printed
