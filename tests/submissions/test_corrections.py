"""What a check finds out is written into the manifest, line by line."""

import tomllib
from pathlib import Path

import pytest

from harness.submissions.corrections import correct, corrections_in

TEXT = """\
# A comment that stays.
[submission]
scales = [4]
value_range = 1.0

[[model]]
name = "A"  # the first one
factory = "a:A"
value_range = 1.0  # from the paper

[model.published]
x4 = { params_k = 1.0 }

[[model]]
name = "B"
factory = "b:B"
"""


def models(root: Path) -> dict[str, dict]:
    document = tomllib.loads((root / "harness.toml").read_text())
    return {model["name"]: model for model in document["model"]}


def test_a_line_is_replaced_or_added_in_the_table_of_its_model(tmp_path: Path) -> None:
    (tmp_path / "harness.toml").write_text(TEXT)
    before = models(tmp_path)
    found = [
        *corrections_in("A", ["33.1 dB; with value_range = 255.0 it reaches 34 dB set value_range = 255.0"]),
        *corrections_in(
            "B", ['it reaches 33 dB set colour = "ycbcr"', "it upscales by 2, not by 4: set scales = [2] in"]
        ),
        *corrections_in("C", ["set size_multiple = 8; the harness pads"]),
    ]
    assert correct(tmp_path, found) == [
        "harness.toml:9: value_range = 255.0 (A)",
        'harness.toml:16: colour = "ycbcr" (B)',
        "harness.toml:16: scales = [2] (B)",
    ]
    after = models(tmp_path)
    assert after["A"] == before["A"] | {"value_range": 255.0}
    assert after["B"] == before["B"] | {"colour": "ycbcr", "scales": [2]}
    text = (tmp_path / "harness.toml").read_text()
    assert "value_range = 255.0  # from the paper\n" in text
    assert set(TEXT.split("\n")) - set(text.split("\n")) == {"value_range = 1.0  # from the paper"}


def test_a_manifest_of_one_model_is_corrected_too(tmp_path: Path) -> None:
    path = tmp_path / "submission.toml"
    path.write_text('[submission]\nname = "A"\nscales = [2]\n\n[weights]\nx2 = "a.pth"\n')
    correct(tmp_path, corrections_in("A", ["takes only multiples of 8: set size_multiple = 8"]))
    assert tomllib.loads(path.read_text())["submission"] == {"name": "A", "scales": [2], "size_multiple": 8}


@pytest.mark.parametrize(
    "said",
    [
        'set factory = "os:system"',
        'set value_range = 255.0"; x = 1',
        "set value_range = 2.0",
        'set colour = "y"',
        "set size_multiple = 0",
        "set scales = [99]",
        "set size_multiple = 8\nfactory = 'os:system'",
    ],
)
def test_nothing_but_known_values_of_a_few_keys_is_taken_from_what_a_submission_says(said: str) -> None:
    assert {one.line for one in corrections_in("A", [said])} <= {"value_range = 255.0", "size_multiple = 8"}


def test_without_a_finding_the_file_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "harness.toml").write_text(TEXT)
    before = (tmp_path / "harness.toml").stat().st_mtime_ns
    assert correct(tmp_path, []) == []
    assert (tmp_path / "harness.toml").stat().st_mtime_ns == before
