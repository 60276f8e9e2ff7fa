import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.bands import band_of, bands_of
from harness.report.numbers import MINUS, THIN, binary_size, digits_for, fixed, spell


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 2, "0.00"),
        (-0.001, 2, "0.00"),
        (-1234.5, 1, f"{MINUS}1{THIN}234.5"),
        (74160, 0, f"74{THIN}160"),
        (-1e300, 2, f"{MINUS}1.00e+300"),
    ],
)
def test_fixed(value, digits, text):
    assert fixed(value, digits) == text


def test_signed_zero_has_no_sign():
    assert fixed(0.004, 2, signed=True) == "0.00"
    assert fixed(0.005001, 2, signed=True) == "+0.01"


@given(st.floats(-1e9, 1e9), st.integers(0, 4))
def test_fixed_reads_back(value, digits):
    read = float(fixed(value, digits, signed=True).replace(MINUS, "-").replace(THIN, ""))
    assert math.isclose(read, value, abs_tol=0.51 * 10**-digits)


@pytest.mark.parametrize(
    ("values", "digits"), [([23.7, 12.8, 9.1], 1), ([0.7, 0.4], 3), ([2000.0], 0), ([], 0), ([0.0], 0)]
)
def test_digits_follow_the_middle_value(values, digits):
    assert digits_for(values) == digits


def test_sizes_and_ticks():
    assert binary_size(24 * 2**30) == f"24{THIN}GiB"
    assert [spell(tick) for tick in (0.5, 1.0, 20.0, 1000.0)] == ["0.5", "1", "20", f"1{THIN}000"]


def test_labels_of_bands_name_their_limits():
    assert [band.label for band in bands_of((23.976, 60.0))] == [
        "< 23.976 fps",
        "23.976\N{EN DASH}60 fps",
        "> 60 fps",
    ]


@pytest.mark.parametrize(
    ("fps", "index"), [(0.0, 0), (23.999, 0), (24, 1), (29.99, 1), (30, 2), (60, 3), (119.9, 3), (120, 4), (1e6, 4)]
)
def test_band_edges_belong_to_the_faster_band(fps, index):
    bands = bands_of((24.0, 30.0, 60.0, 120.0))
    assert band_of(fps, bands) is bands[index]
