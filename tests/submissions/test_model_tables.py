"""Manifests that describe several models."""

from pathlib import Path

import pytest

from harness.errors import ManifestError
from harness.submissions.discovery import BrokenSubmission, Submission, discover
from harness.submissions.manifest import Manifest, read_manifest
from harness.submissions.model_tables import MAX_MODELS, read_manifests

TEXT = """\
[submission]
team = "us"
scales = [2, 3]
value_range = 255.0

[[model]]
name = "A"
factory = "a:A"
kwargs = { nf = 48, blocks = [1, 2], upscale = "scale" }
weights = "zoo/a.pth"

[[model]]
name = "B"
factory = "b:B"
scales = [4]
value_range = 1.0
output = 0
colour = "ycbcr"
weights_key = "params"

[model.weights]
x4 = "sibling/b.pth"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for file in ("zoo/a.pth", "sibling/b.pth"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    (tmp_path / "code").mkdir()
    return tmp_path


def manifests(root: Path, text: str, name: str = "harness.toml") -> list[Manifest | ManifestError]:
    (root / name).write_text(text)
    return [one.manifest for one in read_manifests(root)]


@pytest.mark.parametrize("name", ["harness.toml", "submission.toml"])
def test_models_have_the_shared_keys_and_their_own(root: Path, name: str) -> None:
    first, second = manifests(root, TEXT, name)
    assert isinstance(first, Manifest)
    assert isinstance(second, Manifest)
    assert (first.team, first.scales, first.value_range) == ("us", [2, 3], 255.0)
    assert first.kwargs == {"nf": 48, "blocks": [1, 2], "upscale": "scale"}
    assert first.weights == {"x2": "zoo/a.pth", "x3": "zoo/a.pth"}
    assert (second.team, second.scales, second.value_range) == ("us", [4], 1.0)
    assert (second.output, second.colour, second.weights_key) == (0, "ycbcr", "params")
    assert second.weights == {"x4": "sibling/b.pth"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('factory = "a:A"', 'factory = "a"', "line 8: .*'A': factory must be module:callable"),
        ('factory = "a:A"', 'factori = "a:A"', "line 8: .*'A': factori is not a key.*Did you mean factory"),
        ('"zoo/a.pth"', '"../a.pth"', "line 10: .*path inside"),
        ('"zoo/a.pth"', '"zoo/c.pth"', "line 10: .*there is no file zoo/c.pth"),
        ("nf = 48", "nf = 1979-05-27", "line 9: .*nf holds a date"),
        ('factory = "a:A"', 'factory = "a:A"\nfolder = "elsewhere"', "line 9: .*there is no folder elsewhere"),
        ('factory = "a:A"', 'factory = "a:A"\nfolder = "../code"', "line 9: .*must be a path inside"),
    ],
)
def test_a_mistake_is_one_of_its_model_at_its_line(root: Path, old: str, new: str, message: str) -> None:
    first, second = manifests(root, TEXT.replace(old, new, 1))
    assert isinstance(second, Manifest)
    assert isinstance(first, ManifestError)
    with pytest.raises(ManifestError, match=message):
        raise first


def test_a_mistake_in_the_second_model_is_at_its_own_line(root: Path) -> None:
    _, second = manifests(root, TEXT.replace("value_range = 1.0", "value_range = 2.0"))
    assert isinstance(second, ManifestError)
    assert "line 16: " in str(second)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nname = 'a'\n", r"\[\[model\]\], in double brackets"),
        (
            "[weights]\nx2 = 'a'\n[[model]]\nname = 'a'\n",
            r"line 1: weights is outside \[submission\] and \[\[model\]\]",
        ),
        ("[[model]]\n" * (MAX_MODELS + 1), f"describes {MAX_MODELS + 1} models"),
    ],
)
def test_the_manifest_as_a_whole_may_be_wrong(root: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        manifests(root, text)


def test_each_model_is_a_submission_of_its_own(root: Path) -> None:
    text = TEXT.replace('"zoo/a.pth"', '"zoo/missing.pth"') + '\n[[model]]\nname = "B"\nfactory = "c:C"\n'
    (root / "harness.toml").write_text(text)
    found = discover([root], entry_points=False)
    assert [(one.name, one.slug, type(one)) for one in found] == [
        ("A", "A", BrokenSubmission),
        ("B", "B", Submission),
        ("B", "B-2", Submission),
    ]
    assert [one.name for one in discover([root], only=["b"], entry_points=False)] == ["B", "B"]


def test_one_model_is_expected_where_code_asks_for_one(root: Path) -> None:
    (root / "harness.toml").write_text(TEXT)
    with pytest.raises(ManifestError, match=r"describes models in \[\[model\]\] tables"):
        read_manifest(root)
