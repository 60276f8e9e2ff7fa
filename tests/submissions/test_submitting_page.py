"""The page on submitting names everything that a submitter can write."""

import re

import pytest

from harness.results.schema import Published
from harness.submissions.argument_names import CHANNEL_NAMES, CONFIG_NAMES, SCALE_NAMES
from harness.submissions.loaders import LOADERS, SUFFIXES
from harness.submissions.manifest import Manifest
from harness.submissions.model_tables import read_manifests
from harness.submissions.state_dicts import WRAPPERS
from harness.worker.forms import FLAG_NAMES


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "submitting.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        Manifest.model_fields,
        Published.model_fields,
        SCALE_NAMES,
        CHANNEL_NAMES,
        CONFIG_NAMES,
        FLAG_NAMES,
        WRAPPERS,
        LOADERS.names(),
        SUFFIXES.names(),
    ],
)
def test_every_word_is_explained(page, words):
    missing = [word for word in words if f"`{word}`" not in page and f"`[{word}]`" not in page]
    assert not missing


def test_the_examples_are_valid(page, tmp_path):
    examples = [text for text in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[submission]" in text]
    assert len(examples) == 3
    for file in re.findall(r'"([\w/]+\.(?:safetensors|onnx|pth))"', "".join(examples)):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    for text in examples:
        (tmp_path / "submission.toml").write_text(text)
        assert all(isinstance(one.manifest, Manifest) for one in read_manifests(tmp_path))


def test_the_defaults_are_those_of_the_code(page):
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", page, re.MULTILINE))
    for key, shown in rows.items():
        assert shown.strip('"') == str(Manifest.model_fields[key].default).replace("False", "false"), key
    assert len(rows) >= 10
