"""Ranks, ties, ranges and comparisons of a table say the same."""

from dataclasses import replace

import numpy as np
import pytest

from harness.report.rows import tie_line
from harness.results import Entry
from harness.results.schema import QualityFigures, Runtime
from harness.statistics.process_spread import ASSUMED_SPREAD, ProcessSpread, RelativeTimes, Spread
from harness.tracks import Expression, get_track
from harness.tracks.scoring import Leaderboard, RowFigures, ScoringRules, inexact_scores, rank_rows, score_row
from harness.tracks.track import Gate, TrackDataset

BICUBIC = 30.0
IMAGES = [f"image-{index}" for index in range(6)]
LEVEL = np.array([-3.0, 1.5, 0.5, 2.0, -2.5, 1.5])
RULES = ScoringRules(
    get_track("ntire23-x2"),
    BICUBIC,
    "median",
    reference=dict(zip(IMAGES, map(float, BICUBIC + LEVEL), strict=True)),
)
QUIET = ProcessSpread(Spread(0.0, 18), Spread(0.0, 14))


def row(name: str, gain: float, ms: float, *, scatter: float = 0.1, rounds: int = 20, seed: int = 0, **other: object):
    """Return a row without a score, and its measurements, as in the committed sample: six images, three processes."""
    rng = np.random.default_rng(seed)
    deviations = rng.normal(0, scatter, 6)
    gains = gain + deviations - deviations.mean()
    numbers = np.arange(rounds)
    values = ms * np.exp(rng.normal(0, 0.02, rounds))
    processes = {int(i): int(3 * i // rounds) for i in numbers}
    times = RelativeTimes({int(i): float(values[i]) for i in numbers}, "s", processes, QUIET, "a")
    middle = float(np.median(values))
    runtime = Runtime(
        median=middle, mean=middle, ci=(middle * 0.97, middle * 1.03), p95=middle, samples=rounds, stable=True
    )
    psnr = {name: float(value) for name, value in zip(IMAGES, BICUBIC + LEVEL + gains, strict=True)}
    settings = {"kind": "submission", "status": "ok", **other}
    return Entry(name=name, slug=name, psnr_rgb=BICUBIC + gain, **settings), RowFigures(psnr, runtime, times)


def board(*rows: tuple[Entry, RowFigures], rules: ScoringRules = RULES) -> Leaderboard:
    figures = {entry.slug: own for entry, own in rows}
    return rank_rows([score_row(entry, own, rules) for entry, own in rows], figures, rules)


def sample() -> Leaderboard:
    """Rows with the gains, runtimes and scatter over images of the committed sample."""
    figures = [
        ("RTVSR", 0.529, 146, 0.15, 21), ("Team-OV", 0.303, 147, 0.17, 20), ("SESR", 0.908, 383, 0.4, 10),
        ("CRC", 0.180, 143, 0.06, 17), ("ALONG", 0.172, 142, 0.12, 19), ("LRSRN", 0.97, 647, 0.45, 3),
        ("SCSRN", 1.02, 716, 0.45, 5), ("RT4KSR", 0.4, 478, 0.12, 8), ("FSRCNN", 0.61, 1252, 0.15, 3),
        ("RTSRN", 0.84, 2234, 0.3, 3), ("IMDN", 1.17, 11461, 0.6, 3),
    ]  # fmt: skip
    rows = [row(n, gain, ms, scatter=s, rounds=r, seed=i) for i, (n, gain, ms, s, r) in enumerate(figures)]
    baseline = row("Lanczos", 0.25, 145, kind="baseline")
    return board(*rows[:3], baseline, *rows[3:])


def test_the_slowest_is_not_tied_with_the_fast_ones() -> None:
    """The intervals of IMDN and Team OV are far apart, and so are the scores by the test."""
    entries = {entry.slug: entry for entry in sample().entries}
    imdn, team_ov = entries["IMDN"], entries["Team-OV"]
    assert imdn.score_ci[1] < team_ov.score_ci[0]
    assert "Team-OV" not in imdn.tied_with
    assert imdn.rank_range[0] > team_ov.rank_range[1]


def test_the_first_row_s_range_has_room_for_the_rows_that_it_is_tied_with() -> None:
    first = sample().entries[0]
    assert first.tied_with
    assert first.rank_range == (1, 1 + len(first.tied_with))


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.3, 1.5])
def test_ties_ranges_and_p_values_of_a_table_agree(gap: float) -> None:
    found = board(*(row(f"n{i}", 0.5 + gap * i, 100.0, seed=i) for i in range(8)))
    ranked = {entry.slug: entry for entry in found.entries}
    assert len(found.comparisons) == 28
    for pair in found.comparisons:
        one, other = (ranked[slug] for slug in pair.slugs)
        tied = pair.corrected_p_value >= 0.05
        assert pair.p_value <= pair.corrected_p_value
        assert (other.slug in one.tied_with) == (one.slug in other.tied_with) == tied
        assert pair.difference == pytest.approx(one.score - other.score)
        if not tied:
            better, worse = (one, other) if one.rank < other.rank else (other, one)
            assert better.rank_range[0] < worse.rank_range[1]
        if one.score_ci[0] > other.score_ci[1] or other.score_ci[0] > one.score_ci[1]:
            assert pair.p_value < 0.05
    for entry in found.entries:
        low, high = entry.rank_range
        assert low <= entry.rank <= high
        assert high - low >= len(entry.tied_with)
        assert entry.tied_with or low == high


@pytest.mark.parametrize("turn", [1, 4, -1])
def test_the_order_in_which_rows_are_given_changes_no_figure(turn: int) -> None:
    """A stored run, whose rows are in the order of ranks, is ranked as it was in the order of discovery."""
    rows = [row(f"n{i}", 0.5 + 0.1 * (i % 3), 100.0 + i, seed=i) for i in range(6)]
    first, second = board(*rows), board(*rows[turn:], *rows[:turn])
    assert second.comparisons == first.comparisons
    assert second.entries == first.entries


def test_a_baseline_between_tied_rows_does_not_break_the_line() -> None:
    found = board(row("a", 1.0, 100.0), row("b", 0.9, 100.0, kind="baseline"), row("c", 0.8, 100.0, scatter=2, seed=3))
    assert [entry.slug for entry in found.entries] == ["a", "b", "c"]
    assert found.entries[0].tied_with == ["c"]
    assert found.entries[1].rank_range is None
    assert tie_line(found.entries) == {0, 1}


def test_a_baseline_between_different_rows_has_no_line() -> None:
    found = board(row("a", 3.0, 100.0), row("b", 2.0, 100.0, kind="baseline"), row("c", 0.5, 100.0, seed=3))
    assert tie_line(found.entries) == set()


def test_a_row_without_times_keeps_its_rank_and_is_compared_with_none() -> None:
    entry, figures = row("old", 4.0, 100.0)
    found = board((entry, replace(figures, times=None)), row("a", 1.0, 100.0), row("b", 1.0, 100.0, seed=1))
    old, *others = found.entries
    assert (old.slug, old.rank, old.rank_range, old.tied_with) == ("old", 1, None, [])
    assert [one.rank_range for one in others] == [(2, 3), (2, 3)]


def test_a_lower_score_wins_where_the_track_says_so() -> None:
    track = replace(RULES.track, formula=lambda psnr, runtime_ms: runtime_ms / psnr, higher_is_better=False)
    found = board(row("slow", 1.0, 300.0), row("fast", 1.0, 100.0), rules=replace(RULES, track=track))
    assert [(e.slug, e.rank, e.rank_range) for e in found.entries] == [("fast", 1, (1, 1)), ("slow", 2, (2, 2))]


def test_a_formula_that_takes_no_arrays_gives_the_same() -> None:
    def scalar(psnr: float, runtime_ms: float, bicubic: float) -> float:
        assert isinstance(psnr, float)
        return 0.0 if psnr <= bicubic else 20 * 2 ** (psnr - bicubic) / runtime_ms**0.5

    rows = [row("a", 1.0, 100.0), row("b", 0.9, 110.0, seed=1)]
    slow = board(*rows, rules=replace(RULES, track=replace(RULES.track, formula=scalar)))
    (one,), (other,) = board(*rows).comparisons, slow.comparisons
    assert (other.difference, other.p_value) == pytest.approx((one.difference, one.p_value))
    assert other.ci == pytest.approx(one.ci)


def test_one_image_gives_no_interval_and_no_difference() -> None:
    rows = [row("a", 1.0, 100.0), row("b", 3.0, 100.0, seed=1)]
    found = board(*((entry, replace(own, psnr={IMAGES[0]: own.psnr[IMAGES[0]]})) for entry, own in rows))
    (pair,) = found.comparisons
    assert (pair.ci, pair.corrected_p_value) == (None, 1.0)
    assert {entry.rank_range for entry in found.entries} == {(1, 2)}


def test_processes_that_were_assumed_leave_room_for_2_per_cent() -> None:
    one, other = row("a", 1.0, 100.0), row("b", 1.0, 101.0)
    once = [
        (entry, replace(own, times=replace(own.times, processes={}, spread=ASSUMED_SPREAD)))
        for entry, own in (one, other)
    ]
    assert board(*once).entries[0].tied_with == ["b"]


def test_rows_for_which_a_formula_is_undefined_are_noted_and_not_ranked() -> None:
    """The root of a gain below 0.5 dB is no number; a row beside the limit has a score, and no interval of ranks."""
    track = replace(get_track("ntire23-x2"), formula=Expression("sqrt(psnr - bicubic - 0.5)"))
    rows = [row("low", 0.2, 100), row("edge", 0.51, 100, seed=1), row("good", 1.5, 100, seed=2), row("best", 2.5, 100)]
    found = board(*rows, rules=replace(RULES, track=track))
    entries = {entry.name: entry for entry in found.entries}
    assert (entries["low"].score, entries["low"].rank) == (None, None)
    assert entries["low"].notes == ["no score: the formula of ntire23-x2 gives nan for these figures"]
    assert entries["edge"].score == pytest.approx(0.1)
    assert (entries["edge"].score_ci, entries["edge"].rank, entries["edge"].rank_range) == (None, 3, None)
    assert (entries["best"].rank, entries["best"].rank_range) == (1, (1, 1))
    assert [pair.slugs for pair in found.comparisons] == [("best", "good")]
    again = board(*((entries[entry.name], figures) for entry, figures in rows))
    assert all(entry.notes == [] for entry in again.entries)


def test_a_score_beyond_the_range_of_numbers_is_noted() -> None:
    track = replace(get_track("ntire23-x2"), formula=Expression("exp(runtime_ms * psnr)"))
    (entry,) = board(row("slow", 1.0, 100), rules=replace(RULES, track=track)).entries
    assert (entry.score, entry.notes) == (None, ["no score: the formula of ntire23-x2 gives inf for these figures"])


def test_the_only_data_set_has_the_figures_of_the_track() -> None:
    """Then the names of figures do not change intervals, ranks or tests."""
    plain, named = (
        board(*two_noisy("only"), rules=rules_of(formula, "only")).entries
        for formula in (PLAIN, "psnr_only - bicubic - 0.5 * log10(runtime_ms_only)")
    )
    assert [(e.score_ci, e.rank_range) for e in named] == [(e.score_ci, e.rank_range) for e in plain]
    assert named[0].score_ci is not None
    assert named[0].rank_range == (1, 2)


@pytest.mark.parametrize("figure", ["ssim_rgb", "psnr_y", "psnr_test", "lpips"])
def test_quality_that_is_known_by_its_mean_only_gives_no_interval_and_no_test(figure: str) -> None:
    rules = rules_of(f"{figure} - 0.5 * log10(runtime_ms)", "validation", "test")
    assert not rules.track.has_intervals
    found = board(*two_noisy("test", ssim_rgb=0.9, psnr_y=31.0), rules=rules)
    assert found.comparisons == []
    assert [(e.score_ci, e.rank_range, e.tied_with) for e in found.entries] == [(None, None, [])] * 2
    if figure != "lpips":  # no run measures it
        assert [e.rank for e in found.entries] == [1, 2]


def test_the_time_of_each_data_set_varies_as_the_time_does() -> None:
    rules = rules_of(
        "psnr - bicubic - 0.25 * log10(runtime_ms_test) - 0.25 * log10(runtime_ms_validation)", "validation", "test"
    )
    one, other = (board(*two_noisy("test", "validation"), rules=r).comparisons for r in (rules, rules_of(PLAIN)))
    assert one[0].p_value == pytest.approx(other[0].p_value)
    assert one[0].ci == pytest.approx(other[0].ci)


PLAIN = "psnr - bicubic - 0.5 * log10(runtime_ms)"


def rules_of(formula: str, *roles: str) -> ScoringRules:
    datasets = tuple(TrackDataset(role, "images") for role in roles)
    return replace(RULES, track=replace(RULES.track, formula=Expression(formula), datasets=datasets))


def two_noisy(*roles: str, **figures: float) -> list[tuple[Entry, RowFigures]]:
    """Return two rows that differ by less than their images do, with the same figures on each data set."""
    rows = []
    for number, gain in enumerate((1.0, 0.95)):
        entry, own = row(f"row-{number}", gain, 100.0, scatter=0.4, seed=number, **figures)
        quality = QualityFigures(psnr_rgb=entry.psnr_rgb, psnr_y=31.0, ssim_rgb=0.9, ssim_y=0.9)
        rows.append((entry.model_copy(update={"datasets": dict.fromkeys(roles, quality)}), own))
    return rows


@pytest.mark.parametrize(
    ("formula", "rank_sums", "known"),
    [
        ("psnr / macs", {}, ["macs"]),
        ("psnr - runtime_ms", {"complexity": ("params", "activations")}, ["activations"]),
        ("psnr - runtime_ms", {}, []),
    ],
)
def test_a_score_or_a_sum_of_ranks_that_uses_a_lower_bound_is_not_exact(formula, rank_sums, known) -> None:
    track = replace(RULES.track, name="counted", formula=Expression(formula), rank_sums=rank_sums)
    counts = {"params": 10, "macs": 10**9, "activations": 10**6}
    rows = row("whole", 0.5, 10.0, **counts), row("partly", 0.6, 10.0, incomplete_ops=["custom::warp"], **counts)
    entries = {entry.slug: entry for entry in board(*rows, rules=replace(RULES, track=track)).entries}
    assert entries["whole"].partly_counted == []
    assert entries["partly"].partly_counted == known
    warnings = inexact_scores(list(entries.values()))
    assert len(warnings) == len(known)
    assert all(text.startswith("partly: ") and known[0] in text for text in warnings)


def test_a_figure_that_misses_a_gate_is_not_printed_as_the_gate() -> None:
    track = replace(RULES.track, gates=(Gate("psnr", 30.5), Gate("params", 1_234_567)))
    entry, own = row("near", 0.49999, 10.0, params=1_234_566)
    (found,) = board((entry, own), rules=replace(RULES, track=track)).entries
    assert found.failed_gates == ["psnr >= 30.5: 30.49999", "params >= 1234567: 1234566"]
