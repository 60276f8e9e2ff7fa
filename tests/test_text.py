"""Text from outside is shown as text: by spreadsheets that open a CSV file, too."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.text import beside, from_spreadsheet_text, spreadsheet_text

CHARACTERS = st.sampled_from("=+-@'; \t\r\na1,\"|\uff1d\uff20")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1", "'+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "\t'=1"),
        ("  =1", "  '=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a;=1", "a;'=1"),
        ("first line\n=1", "first line\n'=1"),
        ("'=1", "''=1"),
        ("Bicubic++", "Bicubic++"),
        ("a - b = c; d", "a - b = c; d"),
        ("a; -d", "a; '-d"),
        ("1\r =2", "1\r '=2"),
        ("", ""),
    ],
)
def test_no_cell_begins_like_a_formula(text: str, shown: str) -> None:
    assert spreadsheet_text(text) == shown
    assert from_spreadsheet_text(shown) == text


@given(st.text(CHARACTERS, max_size=8))
def test_whatever_the_text_is_it_can_be_read_back(text: str) -> None:
    shown = spreadsheet_text(text)
    assert from_spreadsheet_text(shown) == text
    for cell in csv.reader(io.StringIO(shown, newline=""), delimiter=";", quoting=csv.QUOTE_NONE):
        assert not (cell and cell[0].lstrip()[:1] in tuple("=+-@\uff1d\uff20"))


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("rename one of the two", "Rename one of the two"),
        ("make it smaller", "Make it smaller"),
        ("don't pack it", "Don't pack it"),
        ("élargissez-le", "Élargissez-le"),
        ("pip install spandrel", "pip install spandrel"),
        ("python -m pip install uv", "python -m pip install uv"),
        ("harness run BUNDLE", "harness run BUNDLE"),
        ("docs/submitting.md describes every key", "docs/submitting.md describes every key"),
        ("submission.toml names them", "submission.toml names them"),
        ("arch.py: add it there", "arch.py: add it there"),
        ("--fresh measures it again", "--fresh measures it again"),
        ("weights_key chooses one", "weights_key chooses one"),
        ("x2 is missing", "x2 is missing"),
        ("`harness new NAME` shows the layout", "`harness new NAME` shows the layout"),
    ],
)
def test_a_hint_becomes_a_sentence_unless_it_begins_with_a_command_or_a_path(hint: str, shown: str) -> None:
    assert str(UsageError("is wrong", hint=hint)) == f"is wrong. {shown}."


@pytest.mark.parametrize(
    ("value", "limit", "digits", "form", "shown"),
    [
        (23.97, 24.0, 0, "f", "23.97"),
        (23.4, 24.0, 0, "f", "23"),
        (24.0, 24.0, 0, "f", "24"),
        (100.3, 100.0, 0, "f", "100.3"),
        (0.89996, 0.9, 4, "g", "0.89996"),
        (26.89, 26.9, 4, "g", "26.89"),
        (0.0, 0.0, 1, "f", "0.0"),
    ],
)
def test_a_printed_value_is_on_the_same_side_of_a_limit(
    value: float, limit: float, digits: int, form: str, shown: str
) -> None:
    assert beside(value, limit, digits, form) == shown


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(0, 4), st.sampled_from("fg"))
def test_no_printed_value_crosses_a_limit(value: float, limit: float, digits: int, form: str) -> None:
    shown = float(beside(value, limit, digits, form))
    assert (shown < limit, shown > limit) == (value < limit, value > limit)
