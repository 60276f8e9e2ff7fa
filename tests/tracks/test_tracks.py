"""Tracks and ranks by themselves."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.tracks import get_track, list_tracks, rank, track_for_scale


@pytest.mark.parametrize("name", list_tracks())
def test_every_track_is_found_by_its_name(name: str) -> None:
    track = get_track(name)
    assert track.name == name
    assert f"`{name}`" in (Path(__file__).parents[2] / "docs" / "tracks.md").read_text(encoding="utf-8")
    assert track.output_shape[2:] == tuple(track.scale * side for side in track.input_shape[2:])


@pytest.mark.parametrize(("scale", "shape"), [(2, (1080, 1920)), (3, (720, 1280)), (4, (540, 960))])
def test_default_tracks_reach_4k(scale: int, shape: tuple[int, int]) -> None:
    track = track_for_scale(scale)
    assert track.input_shape == (1, 3, *shape)
    assert track.output_shape == (1, 3, 2160, 3840)


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'ntire23-x2'.*mai2021-x3, mai2022-x3, .*ntire23-x2"):
        get_track("ntire24-x2")
    with pytest.raises(UsageError, match="2, 3, 4"):
        track_for_scale(5)
    with pytest.raises(UsageError, match="ntire-esr-2025"):
        get_track("ntire-esr-2021")


def test_at_or_below_bicubic_the_2023_score_is_zero() -> None:
    track = get_track("ntire23-x2")
    assert track.score(psnr=33.0, runtime_ms=1.0, bicubic=33.0) == 0.0
    assert track.score(psnr=32.9, runtime_ms=1.0, bicubic=33.0) == 0.0
    assert track.score(psnr=34.0, runtime_ms=4.0, bicubic=33.0) == pytest.approx(20.0)


@pytest.mark.parametrize("runtime", [0.0, -1.0, math.nan])
def test_a_runtime_must_be_positive(runtime: float) -> None:
    with pytest.raises(ValueError, match=r"positive|not a number"):
        get_track("ntire23-x2").score(psnr=34.0, runtime_ms=runtime, bicubic=33.0)


def test_huge_esr_scores_have_a_logarithm() -> None:
    track = get_track("ntire-esr-2026")
    figures = {"runtime_ms": 129.70, "macs": 9.62e9, "params": 0.149e6}
    assert track.log_scores(figures) / math.log(10) == pytest.approx(14.458, abs=1e-3)
    # 0.8 * exp(2 * 7740 / 7.74) is e^2000: the two other terms, below 1, add nothing.
    slow = {**figures, "runtime_ms": 7740.0}
    assert track.log_scores(slow) == pytest.approx(2000 + math.log(0.8), rel=1e-12)
    assert track.score(**slow) == pytest.approx(1e300)


@pytest.mark.parametrize("name", list_tracks())
def test_the_rules_of_every_track_are_shown_with_every_published_figure(name: str) -> None:
    track = get_track(name)
    done = CliRunner().invoke(app, ["tracks", "show", name])
    assert done.exit_code == 0
    for text in (track.title, track.score_formula, track.source, *track.remarks, *(gate.text for gate in track.gates)):
        assert text
        assert text in done.stdout
    lines = done.stdout.splitlines()
    for row in track.published.rows() if track.published else []:
        cells = [value for value in row.values() if value]
        assert any(all(f" {cell} " in line for cell in cells) for line in lines), row


def test_equal_scores_share_a_place() -> None:
    assert rank({"a": 3.0, "b": 5.0, "c": 3.0, "d": 1.0}) == {"b": 1, "a": 2, "c": 2, "d": 4}
    assert rank({"a": 3.0, "b": 5.0}, higher_is_better=False) == {"a": 1, "b": 2}
    assert rank({}) == {}
    with pytest.raises(ValueError, match="not a number"):
        rank({"a": math.nan})


@given(st.dictionaries(st.text(max_size=3), st.floats(allow_nan=False), min_size=1))
def test_a_place_is_one_more_than_the_number_of_better_scores(scores: dict[str, float]) -> None:
    places = rank(scores)
    assert all(places[key] == 1 + sum(other > score for other in scores.values()) for key, score in scores.items())
