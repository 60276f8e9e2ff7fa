"""Which backend a network should use: how often equal ones are called different, and what disqualifies a fast one."""

import numpy as np
import pytest

from harness.results.measurement import RoundTimes, TimingRecord
from harness.statistics.backend_choice import HOLDS_DB, OnBackend, choose_backend
from harness.statistics.process_spread import ASSUMED_SPREAD

BACKENDS = ("eager", "channels_last", "onnxruntime")


def tried(
    rng: np.random.Generator, times: tuple[float, ...], *, rounds: int = 40, session: str = "s", psnr: float = 30.0
) -> list[OnBackend]:
    """Time one network on several backends, which differ by 1 % without reason, on a machine that drifts."""
    speed = np.exp(np.cumsum(rng.normal(0, 0.02, rounds)))
    anchors = speed * rng.normal(1, 0.01, rounds)
    found = []
    for backend, level in zip(BACKENDS, times, strict=False):
        factor = level * np.exp(rng.normal(0, ASSUMED_SPREAD.paired.relative))
        ms = speed * factor * rng.normal(1, 0.02, rounds)
        turns = [RoundTimes(number=i, calls=1, anchor_ms=(float(a), float(a))) for i, a in enumerate(anchors)]
        samples = [(float(i), float(one)) for i, one in enumerate(ms)]
        record = TimingRecord(clock="scripted", samples=samples, rounds=turns, session=session)
        found.append(OnBackend(backend, backend, psnr, float(np.median(ms)), record))
    return found


def test_equal_backends_are_seldom_told_apart_and_a_clear_winner_is_named() -> None:
    rng = np.random.default_rng(0)
    equal = [choose_backend("N", "n", tried(rng, (1.0, 1.0, 1.0)), ASSUMED_SPREAD) for _ in range(50)]
    assert sum(len(row.fastest) == 1 for row in equal) <= 7  # 5 % of 50, and what 50 trials leave open
    assert sum(row.use != "eager" for row in equal) <= 7
    apart = [choose_backend("N", "n", tried(rng, (1.2, 1.1, 1.0)), ASSUMED_SPREAD) for _ in range(10)]
    assert sum(row.fastest == ["onnxruntime"] for row in apart) >= 9


def test_of_backends_that_cannot_be_told_apart_the_one_named_first_is_used() -> None:
    (first, second, third) = tried(np.random.default_rng(5), (1.0, 0.999, 1.5))
    row = choose_backend("N", "n", [first, second, third], ASSUMED_SPREAD)
    assert (row.use, row.fastest) == ("eager", ["eager", "channels_last"])
    other = choose_backend("N", "n", [third, second, first], ASSUMED_SPREAD)
    assert (other.use, other.fastest) == ("channels_last", ["channels_last", "eager"])
    ratios = {cell.backend: cell.ratio for cell in row.cells}
    assert ratios == pytest.approx({cell.backend: cell.ratio for cell in other.cells})
    assert ratios["onnxruntime"] == pytest.approx(1.5, rel=0.05)
    cell = row.cells[2]
    assert cell.ci is not None
    assert cell.ci[0] < cell.ratio < cell.ci[1]
    assert cell.p_value < 0.05


def test_a_backend_that_loses_quality_or_failed_is_not_used_however_fast() -> None:
    slow, fast, failed = tried(np.random.default_rng(2), (2.0, 1.0, 0.5))
    for loss, use in ((0.5 * HOLDS_DB, "channels_last"), (2 * HOLDS_DB, "eager")):
        coarser = OnBackend(fast.backend, fast.slug, 30.0 - loss, fast.runtime_ms, fast.timing)
        broken = OnBackend(failed.backend, failed.slug, None, failed.runtime_ms, failed.timing)
        row = choose_backend("N", "n", [slow, coarser, broken], ASSUMED_SPREAD)
        assert (row.use, row.cells[2].holds, row.cells[2].ratio) == (use, False, None)
    nothing = choose_backend("N", "n", [OnBackend("eager", "n")], ASSUMED_SPREAD)
    assert (nothing.use, nothing.fastest, nothing.cells[0].holds) == (None, [], False)


def test_a_single_call_shows_no_difference() -> None:
    record = TimingRecord(clock="scripted", samples=[(0.0, 9.0)], session="s")
    calls = [
        OnBackend(backend, backend, 30.0, ms, record.model_copy(update={"samples": [(0.0, ms)]}))
        for backend, ms in zip(BACKENDS, (9.0, 4.0, 1.0), strict=True)
    ]
    row = choose_backend("N", "n", calls, ASSUMED_SPREAD)
    assert (row.use, row.fastest) == ("eager", list(BACKENDS))
    assert [(cell.ratio, cell.ci) for cell in row.cells] == [(9.0, None), (4.0, None), (1.0, None)]


def test_backends_of_different_sessions_are_compared_by_the_anchor() -> None:
    one, _, _ = tried(np.random.default_rng(3), (1.0, 1.0, 1.0), session="monday")
    _, other, _ = tried(np.random.default_rng(4), (3.0, 3.0, 3.0), session="tuesday")
    row = choose_backend("N", "n", [one, other], ASSUMED_SPREAD)
    assert row.fastest == ["eager"]
    assert row.cells[1].ratio == pytest.approx(3.0, rel=0.1)
