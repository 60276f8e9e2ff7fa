"""The score formulas against every published table, within the rounding of the printed inputs."""

import math
from collections.abc import Callable
from itertools import product

import pytest

from harness.tracks import get_track, rank, rank_sum

Row = dict[str, str]


def half_step(printed: str) -> float:
    """Return half of the last printed digit."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def within_rounding(score: Callable[..., float], inputs: list[str], printed: str) -> bool:
    """Return whether some inputs that print as given have a score that prints as given; `score` is monotonic."""
    ends = [(float(text) - half_step(text), float(text) + half_step(text)) for text in inputs]
    reached = [score(*corner) for corner in product(*ends)]
    return min(reached) <= float(printed) + half_step(printed) and max(reached) >= float(printed) - half_step(printed)


def two_decimals(printed: str) -> str:
    """Return a runtime as the report prints it; the table's file pads some to three decimals with a zero."""
    whole, _, decimals = printed.partition(".")
    assert set(decimals[2:]) <= {"0"}
    return f"{whole}.{decimals[:2]}"


def misses(rows: list[Row], score: Callable[[float, float], float]) -> list[str]:
    def fits(row: Row) -> bool:
        return within_rounding(score, [row["psnr_rgb_dB"], two_decimals(row["runtime_ms"])], row["score"])

    return [row["team"] for row in rows if not fits(row)]


def test_all_rows_of_track_1(table) -> None:
    """Twenty-three teams and the organisers' RT4KSR."""
    rows = [row for row in table("ntire2023_rtsr_track1_x2") if row["score"]]
    track = get_track("ntire23-x2")
    bicubic = track.official_bicubic["ntire23-test"]
    assert len(rows) == 24
    assert misses(rows, lambda psnr, ms: track.score(psnr=psnr, runtime_ms=ms, bicubic=bicubic)) == []


def test_the_rounded_bicubic_of_track_1_misses_six_rows(table) -> None:
    """The report prints 33.92; only the unrounded 33.916 reproduces its scores."""
    rows = [row for row in table("ntire2023_rtsr_track1_x2") if row["score"]]
    track = get_track("ntire23-x2")
    assert len(misses(rows, lambda psnr, ms: track.score(psnr=psnr, runtime_ms=ms, bicubic=33.92))) == 6


def test_track_1_ranks_follow_from_its_scores(table) -> None:
    rows = [row for row in table("ntire2023_rtsr_track1_x2") if row["score"] and row["rank"]]
    assert rank({row["team"]: float(row["score"]) for row in rows}) == {row["team"]: int(row["rank"]) for row in rows}


def test_track_2_computed_scores(table) -> None:
    track = get_track("ntire23-x3")
    bicubic = track.official_bicubic["ntire23-test"]
    rows = [row for row in table("ntire2023_rtsr_track2_x3_partial") if row["score_computed_b31.302"]]
    assert len(rows) == 5
    for row in rows:
        ours = track.score(psnr=float(row["psnr_rgb_dB"]), runtime_ms=float(row["runtime_ms"]), bicubic=bicubic)
        assert ours == pytest.approx(float(row["score_computed_b31.302"]), abs=0.005)


def test_lrsrn_ablation(table) -> None:
    """The poster subtracts 31.69 dB, its own bicubic on the validation set; 31.697655 is the organisers'."""
    track = get_track("ntire23-x2")
    for row in table("lrsrn_poster_ablation_x2"):
        inputs = [row["val_psnr_dB"], row["runtime_ms"]]
        assert within_rounding(
            lambda psnr, ms: track.score(psnr=psnr, runtime_ms=ms, bicubic=31.69), inputs, row["score"]
        ), row


def test_lrsrn_complexity_table(table) -> None:
    """Known misprint: the x2 rows carry the x3 column of PSNR; the scores fit the implied PSNR, not the printed."""
    bicubic = {"x2": 31.69, "x3": 29.00}
    rows = table("lrsrn_poster_complexity")
    assert len(rows) == 12
    for row in rows:
        track = get_track(f"ntire23-{row['scale']}")

        def score(psnr: float, ms: float, track=track, b=bicubic[row["scale"]]) -> float:
            return track.score(psnr=psnr, runtime_ms=ms, bicubic=b)

        implied = within_rounding(score, [row["val_psnr_dB_implied"], row["runtime_ms"]], row["score"])
        printed = within_rounding(score, [row["val_psnr_dB_printed"], row["runtime_ms"]], row["score"])
        assert implied, row
        assert printed == (row["scale"] == "x3"), row


def test_lrsrn_test_table_misprints_along(table) -> None:
    """Known misprint: the poster's ALONG x2 PSNR 34.68 is a slip for 34.63, which alone gives the published 23.81."""
    (along,) = (r for r in table("lrsrn_poster_ntire2023_test") if (r["scale"], r["model"]) == ("x2", "ALONG"))
    (report,) = (r for r in table("ntire2023_rtsr_track1_x2") if r["team"] == "ALONG")
    track = get_track("ntire23-x2")

    def fits(psnr: str) -> bool:
        return within_rounding(
            lambda p, ms: track.score(psnr=p, runtime_ms=ms, bicubic=33.916),
            [psnr, along["runtime_ms"]],
            report["score"],
        )

    assert (along["psnr_rgb_dB"], report["psnr_rgb_dB"]) == ("34.68", "34.63")
    assert fits("34.63")
    assert not fits("34.68")


def test_rt4ksr_needs_the_reports_psnr(table) -> None:
    """Known difference: RT4KSR's README prints 34.193 dB, the report 34.22; the published 9.27 needs 34.22."""
    track = get_track("ntire23-x2")
    (report,) = (r for r in table("ntire2023_rtsr_track1_x2") if r["team"].startswith("Our Baseline"))
    (readme,) = (r for r in table("rt4ksr_readme") if (r["method"], r["scale"]) == ("RT4KSR", "x2"))

    def fits(psnr: str) -> bool:
        return within_rounding(
            lambda p, ms: track.score(psnr=p, runtime_ms=ms, bicubic=33.916),
            [psnr, report["runtime_ms"]],
            report["score"],
        )

    assert fits(report["psnr_rgb_dB"])
    assert not fits(readme["psnr_rgb_dB"])


def test_official_bicubic_is_the_readmes(table) -> None:
    published = {r["scale"]: float(r["psnr_rgb_dB"]) for r in table("rt4ksr_readme") if r["method"] == "Bicubic"}
    assert get_track("ntire23-x2").official_bicubic["ntire23-test"] == published["x2"]
    assert get_track("ntire23-x3").official_bicubic["ntire23-test"] == published["x3"]


def test_ais_2024(table) -> None:
    """The mean gain over both quality levels fits all seven rows."""
    rows = table("ais2024_rtsr_efficiency_partial")
    columns = ("psnr_y_qp31_dB", "psnr_y_qp61_dB")
    lanczos = sum(float(rows[0][c]) for c in columns) / 2
    track = get_track("ais2024-x4")
    assert lanczos == pytest.approx(track.official_bicubic["ais2024-test"])
    assert len(rows[1:]) == 7
    for row in rows[1:]:
        inputs = [row[columns[0]], row[columns[1]], row["runtime_ms"]]
        assert within_rounding(
            lambda a, b, ms: track.score(psnr=(a + b) / 2, runtime_ms=ms, bicubic=lanczos), inputs, row["score"]
        ), row
        exact = track.score(
            psnr=sum(float(row[c]) for c in columns) / 2, runtime_ms=float(row["runtime_ms"]), bicubic=lanczos
        )
        assert exact == pytest.approx(float(row["score"]), abs=0.0051)


def test_mobile_2026() -> None:
    """Sixteen rows; the perceptual score of NTR does not follow from its printed metrics."""
    track = get_track("ntire-mobile-2026")
    assert track.published is not None
    rows = track.published.rows()
    names = ["lpips", "dists", "niqe", "maniqa", "musiq", "clipiqa", "speedup"]
    increasing = {"maniqa", "musiq", "clipiqa", "speedup"}

    def ends(row: Row, name: str) -> tuple[float, float]:
        low, high = (float(row[name]) + sign * half_step(row[name]) for sign in (-1, 1))
        return (low, high) if name in increasing else (high, low)

    def off(column: str, score: Callable[[dict[str, float]], float]) -> list[str]:
        found = []
        for row in rows:
            least, most = ({name: ends(row, name)[index] for name in names} for index in (0, 1))
            margin = half_step(row[column])
            if not score(least) - margin <= float(row[column]) <= score(most) + margin:
                found.append(row["team"])
        return found

    assert len(rows) == 16
    assert off("score", lambda figures: track.score(**figures)) == []
    assert off("perceptual", lambda figures: float(track.parts["perceptual"](figures))) == ["NTR"]
    ranks = rank({row["team"]: float(row["score"]) for row in rows})
    assert ranks == {row["team"]: int(row["rank"]) for row in rows}


def test_stored_tables_are_the_published_ones(table) -> None:
    """The tables that the harness shows have the figures of the published ones, row by row."""
    psnr, quality = {"psnr_rgb": "psnr_rgb_dB"}, {"psnr_y": "psnr_y_dB", "ssim_rgb": "ssim_rgb"}
    counts = {"params_M": "params_M", "activations_M": "acts_M", "runtime_ms": "ave_time_ms"}
    both = {"psnr_rgb_validation": "val_psnr_dB", "psnr_rgb_test": "test_psnr_dB"}
    mobile = {"score": "official_score", "rank": "official_rank", "psnr_rgb": "psnr_dB", "runtime_ms": "runtime_ms"}
    points = {"rank": "main_track_rank", "complexity": "subtrack1_points", "overall": "subtrack2_points"}
    pairs = {
        "ntire23-x2": ("ntire2023_rtsr_track1_x2", {"score": "score", "rank": "rank", "params_M": "params_M", **psnr}),
        "ntire23-x3": ("ntire2023_rtsr_track2_x3_partial", {"runtime_ms": "runtime_ms", **psnr, **quality}),
        "ais2024-x4": (
            "ais2024_rtsr_efficiency_partial",
            {"team": "method", "score": "score", "psnr_y_qp31": "psnr_y_qp31_dB", "psnr_y_qp63": "psnr_y_qp61_dB",
             "runtime_ms": "runtime_ms", "macs_G": "macs_G"},
        ),
        "mai2021-x3": ("mai2021_2022_quantized_sr_npu", mobile),
        "mai2022-x3": ("mai2021_2022_quantized_sr_npu", mobile),
        "ntire-esr-2022": (
            "ntire2022_esr_table", {"macs_G": "flops_G", "memory_MB": "gpu_mem_M", **points, **counts, **both}
        ),
        "ntire-esr-2026": (
            "ntire2026_esr_results_txt",
            {"team": "model", "macs_G": "flops_G_fvcore_256", "memory_MB": "mem_MiB", **counts, **both},
        ),
    }  # fmt: skip
    for name, (file, columns) in pairs.items():
        published = get_track(name).published
        assert published is not None
        ours, theirs = published.rows(), table(file)
        if name.startswith("mai"):
            theirs = [row for row in theirs if row["report"] == f"{name[:7].upper()}-SR"]
        assert len(ours) == len(theirs) > 5
        for own, other in zip(ours, theirs, strict=True):
            columns = {"team": "team", **columns}
            assert {key: own[key] for key in columns} == {key: other[column] for key, column in columns.items()}


@pytest.mark.parametrize(("year", "count"), [(2021, 10), (2022, 25)])
def test_mobile_ai(table, year: int, count: int) -> None:
    rows = [r for r in table("mai2021_2022_quantized_sr_npu") if r["report"] == f"MAI{year}-SR"]
    track = get_track(f"mai{year}-x3")
    assert len(rows) == count
    for row in rows:
        inputs = [row["psnr_dB"], row["runtime_ms"]]
        assert within_rounding(lambda psnr, ms: track.score(psnr=psnr, runtime_ms=ms), inputs, row["official_score"]), (
            row
        )
    # The last three of 2021 are all printed as 0.00; their order follows from the unrounded scores.
    scores = {r["team"]: track.score(psnr=float(r["psnr_dB"]), runtime_ms=float(r["runtime_ms"])) for r in rows}
    assert rank(scores) == {r["team"]: int(r["official_rank"]) for r in rows}


def test_esr_2022_main_track_is_the_rank_of_runtime(table) -> None:
    rows = [r for r in table("ntire2022_esr_table") if r["main_track_rank"]]
    ranks = rank({r["team"]: float(r["ave_time_ms"]) for r in rows}, higher_is_better=False)
    assert ranks == {r["team"]: int(r["main_track_rank"]) for r in rows}


def possible_ranks(printed: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Return the first and the last rank, least first, that each row can have before rounding."""
    ends = {team: (float(text) - half_step(text), float(text) + half_step(text)) for team, text in printed.items()}
    return {
        team: (1 + sum(top < low for _, top in ends.values()), sum(bottom <= high for bottom, _ in ends.values()))
        for team, (low, high) in ends.items()
    }


ESR_2022 = {
    "subtrack1_points": ("params_M", "flops_G"),
    "subtrack2_points": ("ave_time_ms", "params_M", "flops_G", "acts_M", "gpu_mem_M"),
}


@pytest.mark.parametrize("points", ESR_2022)
def test_esr_2022_sub_tracks_are_sums_of_ranks(table, points: str) -> None:
    """All 35 rows within the rounding of their figures."""
    rows = [r for r in table("ntire2022_esr_table") if r["main_track_rank"]]
    ranks = [possible_ranks({r["team"]: r[column] for r in rows}) for column in ESR_2022[points]]
    assert len(rows) == 35
    for row in rows:
        low, high = (sum(rank[row["team"]][end] for rank in ranks) for end in (0, 1))
        assert low <= int(row[points]) <= high, row


def test_esr_2022_printed_figures_give_30_rows(table) -> None:
    """The other five are off by one: they tie at the printed precision."""
    rows = [r for r in table("ntire2022_esr_table") if r["main_track_rank"]]
    sums = {
        points: rank_sum([{r["team"]: float(r[column]) for r in rows} for column in columns])
        for points, columns in ESR_2022.items()
    }
    off = [max(abs(found[r["team"]] - int(r[points])) for points, found in sums.items()) for r in rows]
    assert (off.count(0), max(off)) == (30, 1)


def test_esr_2023() -> None:
    """The table prints the rank in every figure: they follow from it, and sum to the points of both sub-tracks."""
    track = get_track("ntire-esr-2023")
    assert track.published is not None
    rows = track.published.rows()
    ranked = [row for row in rows if row["rank"]]
    columns = {
        "rank": "runtime_ms", "rank_params": "params_M", "rank_macs": "macs_G", "rank_activations": "activations_M",
        "rank_memory": "memory_MB", "rank_complexity": "complexity", "rank_overall": "overall",
    }  # fmt: skip
    for column, figure in columns.items():
        assert sorted(int(row[column]) for row in ranked) == list(range(1, 33))
        possible = possible_ranks({row["team"]: row[figure] for row in ranked})
        for row in ranked:
            low, high = possible[row["team"]]
            assert low <= int(row[column]) <= high, (row["team"], column)
    ranks = {"runtime_ms": "rank", **{name: f"rank_{name}" for name in ("params", "macs", "activations")}}
    ranks["memory_bytes"] = "rank_memory"
    for row in ranked:
        for points, names in track.rank_sums.items():
            assert sum(int(row[ranks[name]]) for name in names) == int(row[points]), (row["team"], points)


def test_esr_2023_gates_separate_the_ranked_rows() -> None:
    track = get_track("ntire-esr-2023")
    assert track.published is not None
    rows = [row for row in track.published.rows() if row["team"] != "RFDN baseline"]
    passed = [
        row["rank"] != ""
        for row in rows
        if not track.failed_gates({f"psnr_{one}": float(row[f"psnr_rgb_{one}"]) for one in ("validation", "test")})
    ]
    assert passed == [True] * 32
    assert len(rows) == 35


def test_esr_2026(table) -> None:
    track = get_track("ntire-esr-2026")
    rows = table("ntire2026_esr_results_txt")
    assert len(rows) == 16
    for row in rows:
        figures = {
            "runtime_ms": float(row["ave_time_ms"]),
            "macs": 1e9 * float(row["flops_G_fvcore_256"]),
            "params": 1e6 * float(row["params_M"]),
            "psnr_validation": float(row["val_psnr_dB"]),
            "psnr_test": float(row["test_psnr_dB"]),
        }
        computed = {"final": track.score(**figures), **{name: part(figures) for name, part in track.parts.items()}}
        for ours, theirs in {"final": "final", "runtime": "runtime", "macs": "flops", "params": "params"}.items():
            expected = float(row[f"score_{theirs}_calc"])
            assert computed[ours] == pytest.approx(expected, rel=1e-6, abs=5e-5), (row["model"], ours)
        assert (track.failed_gates(figures) == []) == (row["psnr_gate_ok"] == "1"), row["model"]


def test_esr_baselines(table) -> None:
    """A year's baseline scores e^2 by its own figures; 2024's README and results.txt disagree on its runtime."""
    rows = [r for r in table("ntire_esr_reference_baselines") if r["weights_runtime_flops_params"]]
    assert [r["year"] for r in rows] == ["2024", "2025", "2026"]
    for row in rows:
        track = get_track(f"ntire-esr-{row['year']}")
        figures = {
            "runtime_ms": float(row["runtime_ms_ave"]),
            "macs": 1e9 * float(row["flops_G_256"]),
            "params": 1e6 * float(row["params_M"]),
        }
        assert row["baseline"] in track.score_formula
        assert row["gpu"] in track.source
        assert track.score(**figures) == pytest.approx(math.e**2)
        # A hundredth more of a figure changes the score by its weight.
        for (name, value), weight in zip(figures.items(), row["weights_runtime_flops_params"].split("/"), strict=True):
            changed = track.score(**{**figures, name: 1.01 * value}) / track.score(**figures) - 1
            assert changed == pytest.approx(float(weight) * (math.exp(0.02) - 1)), name
