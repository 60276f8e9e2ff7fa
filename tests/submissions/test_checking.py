from pathlib import Path

import pytest
from harness.submissions.checking import check_path

from harness.errors import UsageError
from harness.submissions.skeleton import create

ZOO = Path(__file__).resolve().parent.parent / "zoo"


def said(check) -> str:
    return " | ".join(f"{finding.what}. {finding.hint}" for finding in check.findings)


def test_a_new_submission_passes_at_every_scale(tmp_path):
    checks = check_path(create("Mine", tmp_path))
    assert [(check.name, check.scale, check.passed) for check in checks] == [
        ("Mine", 2, True),
        ("Mine", 3, True),
        ("Mine", 4, True),
    ]
    assert all(finding.level == "ok" for check in checks for finding in check.findings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("os_exit_at_factory", "the process exited with 0 at loading at x2"),
        ("segfault", "killed by SIGSEGV at running it at x2"),
        ("list_output", "returns a list"),
        ("manifest_unknown_key", "did you mean scales"),
        ("missing_symbol", "arch has no srmodel"),
    ],
)
def test_whatever_happens_is_a_finding(name, text):
    (check,) = check_path(ZOO / name)
    assert not check.passed
    assert text in said(check)


def test_a_hang_ends_in_time():
    (check,) = check_path(ZOO / "loops_at_factory", timeout_s=8)
    assert "did not finish within 8 s at loading at x2" in said(check)


def test_no_weights_is_a_warning():
    (check,) = check_path(ZOO / "no_weights")
    assert check.passed
    assert "has no weights for x2" in said(check)
    assert "dB" not in said(check)


def test_without_manifest_the_fitting_scale_is_kept(tmp_path):
    text = (ZOO / "honest_nearest" / "arch.py").read_text().replace("2.0", "3.0")
    (tmp_path / "arch.py").write_text(text)
    (check,) = check_path(tmp_path)
    assert (check.scale, check.passed) == (3, True)


def test_a_scale_that_nothing_has():
    with pytest.raises(UsageError, match="no submission supports x3"):
        check_path(ZOO / "honest_nearest", scale=3)
