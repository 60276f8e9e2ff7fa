"""Names that a reader cannot tell apart, and the file names that names turn into."""

import time

import pytest

from harness.submissions.names import namesakes, skeleton
from harness.submissions.slugs import unique_slugs


@pytest.mark.parametrize(
    "name",
    [
        "bicubic", "BICUBIC", " Bicubic ", "Bi-cubic", "B\u00edcubic", "\uff22\uff49\uff43\uff55\uff42\uff49\uff43",
        "\u0412icubic", "Bi\u0441ubi\u0441", "B\u0131cubic", "Bi\u200bcubic", "B1cubic", "Bicub\u03b9c", "Blcublc",
        "\u0392icubic", "\U0001d401icubic",
    ],
)  # fmt: skip
def test_a_name_that_looks_like_another_has_its_skeleton(name: str) -> None:
    assert skeleton(name) == skeleton("Bicubic")


@pytest.mark.parametrize("name", ["Bicubic++", "Bilinear", "Bicubic2", "Bicubi", "\u8d85\u89e3\u50cf"])
def test_other_names_are_other_names(name: str) -> None:
    assert skeleton(name) != skeleton("Bicubic")


def test_rows_that_look_alike_are_noted_once() -> None:
    notes = namesakes({"bicubic-2": "BICUBIC", "net": "Net", "NET-2": "NET", "other": "Other"}, {"Bicubic": "Bicubic"})
    assert notes == {
        "bicubic-2": "its name looks like that of the baseline Bicubic; this row is bicubic-2",
        "net": "its name looks like that of the submission NET-2; this row is net",
        "NET-2": "its name looks like that of the submission net; this row is NET-2",
    }


def test_thousands_of_equal_names_take_no_time() -> None:
    begin = time.perf_counter()
    slugs = unique_slugs(["same"] * 20_000)
    notes = namesakes(dict.fromkeys(slugs, "same"), {})
    assert time.perf_counter() - begin < 5
    assert len(set(slugs)) == len(notes) == 20_000
    assert max(map(len, notes.values())) < 100


@pytest.mark.parametrize("name", ["CON", "nul", "Aux", "com1", "lpt9", "con.net", "NUL.tar.gz"])
def test_file_names_that_systems_reserve_are_not_used(name: str) -> None:
    first, second = unique_slugs([name, name])
    assert first == f"submission-{name}"
    assert first.casefold() != second.casefold()


def test_a_slug_is_none_that_is_taken_in_any_case() -> None:
    assert unique_slugs(["Bicubic", "bicubic-2", "baseline-Bicubic"], ["BICUBIC"]) == [
        "Bicubic-2", "bicubic-2-2", "baseline-Bicubic",
    ]  # fmt: skip
