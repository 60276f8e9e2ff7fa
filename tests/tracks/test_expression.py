"""Score expressions: they say what the formulas say, and nothing else can be evaluated through them."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness.tracks.expression
from harness.errors import UsageError
from harness.results.migration import upgrade
from harness.tracks import Expression, get_track


def ntire23(psnr: float, ms: float, bicubic: float) -> float:
    return 0.0 if psnr <= bicubic else 2 ** (psnr - bicubic) * 2 / (0.1 * math.sqrt(ms))


# The formulas as the challenges print them, evaluated by Python itself.
PRINTED = {
    "ntire23-x2": ntire23,
    "ntire23-x3": ntire23,
    "ntire23-x4": ntire23,
    "ais2024-x4": lambda psnr, ms, lanczos: 2 ** (psnr - lanczos) * 2 / (0.1 * math.sqrt(ms)),
    "mai2021-x3": lambda psnr, ms, _: 2 ** (2 * psnr) / (2**48 * ms),
    "mai2022-x3": lambda psnr, ms, _: 2 ** (2 * psnr) / (10 * 2**48 * ms),
}


POINT = {"psnr": 31.0, "runtime_ms": 4.0, "bicubic": 30.0}


@pytest.mark.parametrize("name", PRINTED)
@given(psnr=st.floats(10, 60), ms=st.floats(1e-3, 1e6), bicubic=st.floats(20, 40))
def test_the_expression_of_a_track_is_its_printed_formula(name: str, psnr: float, ms: float, bicubic: float) -> None:
    track = get_track(name)
    expected = PRINTED[name](psnr, ms, bicubic)
    assert track.score(psnr=psnr, runtime_ms=ms, bicubic=bicubic) == pytest.approx(expected, rel=1e-12)
    figures = {"psnr": np.full(3, psnr), "runtime_ms": np.full(3, ms), "bicubic": bicubic}
    assert track.scores(figures) == pytest.approx([expected] * 3, rel=1e-12)


@pytest.mark.parametrize("name", PRINTED)
def test_what_version_1_did_not_store_is_what_the_track_says(name: str) -> None:
    track = get_track(name)
    run = upgrade({"schema_version": 1, "track": {"name": track.name}})["track"]
    assert run["score_expression"] == track.formula.text
    assert run.get("metric", "psnr_rgb") == track.metric
    assert track.higher_is_better
    assert track.fps_bands == (24.0, 30.0, 60.0, 120.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("psnr - bicubic", 1.0),
        ("-psnr + 2 * +bicubic", 29.0),
        ("2 ** 3 ** 2", 512.0),
        ("min(psnr, bicubic, 7) + max(1, 2)", 9.0),
        ("sqrt(16) + exp(0) + exp2(3) + log(1) + log2(8) + log10(100)", 18.0),
        ("1 if psnr >= 31 else 0", 1.0),
        ("1 if runtime_ms < 4 else 0.5", 0.5),
        ("\n psnr ", 31.0),
        ("1 / (psnr - 31)", math.inf),
        ("10 ** 400", math.inf),
    ],
)
def test_arithmetic(text: str, expected: float) -> None:
    assert Expression(text)(POINT) == expected


def test_an_undefined_score_is_not_a_number() -> None:
    assert math.isnan(Expression("sqrt(bicubic - psnr)")(POINT))
    assert math.isnan(Expression("(bicubic - psnr) ** 0.5")(POINT))


def test_arrays_are_scored_element_by_element() -> None:
    psnr, times = np.array([[29.0, 31.0]]), np.array([[1.0], [4.0]])
    figures = {"psnr": psnr, "runtime_ms": times, "bicubic": 30.0}
    scores = Expression("runtime_ms if psnr > bicubic else 0")(figures)
    assert np.array_equal(scores, [[0.0, 1.0], [0.0, 4.0]])
    assert Expression("2")(figures) == 2.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "psnr +",
        "psnr; bicubic",
        "psnr = 1",
        "__import__('os')",
        "psnr.__class__",
        "(lambda: 1)()",
        "[psnr][0]",
        "'a' * 9",
        "1j",
        "True",
        "not psnr",
        "~psnr",
        "psnr // 2",
        "psnr % 2",
        "psnr @ 2",
        "psnr and bicubic",
        "psnr < bicubic",
        "1 if psnr else 0",
        "1 if 0 < psnr < 2 else 0",
        "1 if psnr in bicubic else 0",
        "eval(psnr)",
        "sqrt(psnr, 2)",
        "sqrt(x=psnr)",
        "min(psnr)",
        "min(*psnr)",
        "sqrt",
        "ssim",
        "(psnr := 1)",
        "f'{psnr}'",
        "1e999",
        "9" * 400,
        "1" + "+1" * 600,
        "-" * 100 + "1",
        "(" * 300 + "1" + ")" * 300,
        "\x00",
    ],
)
def test_nothing_else_is_an_expression(text: str) -> None:
    with pytest.raises(UsageError, match="score expression"):
        Expression(text)


@given(st.text(alphabet="psnrbicubicruntime_ms0123456789.+-*/()<>=, ifelsqxg2", max_size=60))
def test_any_text_is_evaluated_or_refused(text: str) -> None:
    try:
        expression = Expression(text)
    except UsageError:
        return
    assert isinstance(expression(POINT), float)


def test_the_example_in_the_documentation() -> None:
    assert doctest.testmod(harness.tracks.expression).failed == 0
