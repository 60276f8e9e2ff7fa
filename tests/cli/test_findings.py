"""One line per submission where all its scales fail for one reason, without folders that nobody knows."""

import pytest

from harness.cli.findings import titled, without_archive_folder
from harness.submissions.finding import Finding


class Check:
    def __init__(self, name: str, scale: int | None, *findings: Finding) -> None:
        self.name, self.scale, self.findings = name, scale, findings
        self.passed = not any(one.level == "error" for one in findings)


BROKEN, OTHER, FINE = Finding("error", "broken"), Finding("error", "other"), Finding("ok", "loads")


@pytest.mark.parametrize(
    ("checks", "titles"),
    [
        ([Check("a", 2, BROKEN), Check("a", 3, BROKEN), Check("a", 4, BROKEN)], ["a x2, x3, x4"]),
        ([Check("a", 2, BROKEN), Check("b", 2, BROKEN)], ["a x2", "b x2"]),
        ([Check("a", 2, BROKEN), Check("a", 3, OTHER)], ["a x2", "a x3"]),
        ([Check("a", 2, FINE), Check("a", 3, FINE)], ["a x2", "a x3"]),
        ([Check("a", 2, FINE), Check("a", 3, BROKEN), Check("a", 4, BROKEN)], ["a x2", "a x3, x4"]),
        ([Check("a", None, BROKEN)], ["a"]),
    ],
)
def test_scales_that_fail_alike_are_one_line(checks: list[Check], titles: list[str]) -> None:
    assert [title for title, _ in titled(checks)] == titles


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"/home/me/.cache/sr-harness/archives/{'0f' * 32}/checkpoint.pth: is empty", "checkpoint.pth: is empty"),
        (f"see cache/archives/{'a' * 64}/a/b.py:3", "see a/b.py:3"),
        ("/data/archives/mine/checkpoint.pth: is empty", "/data/archives/mine/checkpoint.pth: is empty"),
    ],
)
def test_the_folder_of_an_extracted_zip_is_not_shown(text: str, shown: str) -> None:
    assert without_archive_folder(text) == shown
