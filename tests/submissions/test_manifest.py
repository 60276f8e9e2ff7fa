import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ManifestError
from harness.results.schema import ErrorInfo
from harness.submissions.manifest import Manifest, is_inside, read_manifest

GOOD = """\
[submission]
name = "LRSRN"
team = "z6"
scales = [2, 3]

[weights]
x2 = "weights/x2.safetensors"

[published]
x2 = { params_k = 41.40, psnr_val = 32.831, source = "poster" }
"""


def write(folder: Path, text: str) -> Path:
    (folder / "weights").mkdir(exist_ok=True)
    (folder / "weights" / "x2.safetensors").write_bytes(b"x")
    path = folder / "submission.toml"
    path.write_text(text, encoding="utf-8")
    return path


def failure(folder: Path, text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(folder, text))
    return str(caught.value)


def test_good_manifest(tmp_path):
    manifest = read_manifest(write(tmp_path, GOOD))
    assert (manifest.name, manifest.team, manifest.scales) == ("LRSRN", "z6", [2, 3])
    assert manifest.factory == "arch:srmodel"
    assert manifest.value_range == 1.0
    assert manifest.weights_for(2) == Path("weights/x2.safetensors")
    assert manifest.weights_for(3) is None
    assert manifest.published["x2"].params_k == 41.4
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    ("tables", "lacks"),
    [("", False), ("[weights]", True), ('[weights]\nx2 = "weights/x2.safetensors"', True)],
)
def test_which_manifest_lacks_weights_at_x3(tmp_path, tables, lacks):
    text = f'[submission]\nname = "a"\nscales = [2, 3]\n{tables}\n'
    assert read_manifest(write(tmp_path, text)).lacks_weights(3) is lacks


def test_what_a_submission_says_of_itself_is_text_that_can_be_shown(tmp_path):
    keys = """authors = ["A. One", "B.\\tTwo"]
code = "https://example.org/code"
paper = "A\\u001bpaper"
description = "Plain"
bibtex = "@misc{one,\\n}"
"""
    about = read_manifest(write(tmp_path, GOOD.replace("scales =", f"{keys}scales ="))).about()
    assert about.authors == ["A. One", "B. Two"]
    assert about.paper == "A\N{REPLACEMENT CHARACTER}paper"
    assert (about.code, about.bibtex, about.license) == ("https://example.org/code", "@misc{one,\n}", "")
    assert read_manifest(write(tmp_path, GOOD)).about() is None


def test_needs_weights_without_a_table():
    assert Manifest(name="a", scales=[2], needs_weights=True).lacks_weights(2)


@pytest.mark.parametrize(
    ("old", "new", "line", "said", "hint"),
    [
        ("scales = [2, 3]", "scale = [2, 3]", 4, "scale is not a key", "did you mean scales"),
        ("scales = [2, 3]", 'scales = "2"', 4, "must be a list", None),
        ("scales = [2, 3]", "scales = [2, 2.5]", 4, "scales", None),
        ("scales = [2, 3]", "scales = [3]", 7, "does not list 2", None),
        ("scales = [2, 3]", "scales = []", 4, "must not be empty", None),
        ("scales = [2, 3]", "scales = [0]", 4, "greater than or equal to 1", None),
        ('team = "z6"', "team = 6", 3, "must be text", None),
        ('team = "z6"', "value_range = 128", 3, "must be 1.0 or 255.0", None),
        ('team = "z6"', 'factory = "arch.py"', 3, "module:callable", None),
        ('team = "z6"', 'requires = ["einops >>> 2"]', 3, "not a requirement", None),
        ('team = "z6"', "size_multiple = true", 3, "whole number", None),
        ('name = "LRSRN"', 'name = "  "', 2, "visible text", None),
        ('name = "LRSRN"', "", None, "name is missing", "add a line name"),
        ("x2 = { params_k", "x2 = { param_k", 10, "is not a key", "did you mean params_k"),
        ("x2 = { params_k", "two = { params_k", 10, "keys are scales", None),
        ("weights/x2.safetensors", "weights/x4.safetensors", 7, "there is no file", "needs_weights"),
        ("weights/x2.safetensors", "../x2.safetensors", 7, "inside the submission's folder", None),
        ("weights/x2.safetensors", "/etc/passwd", 7, "inside the submission's folder", None),
        ("[weights]", "[weight]", 6, "is outside", "did you mean weights"),
        ("[weights]", "[submission.weights]", 6, "is inside", "write [weights]"),
        ("[weights]", "[weights", None, "not valid TOML", None),
        ("[submission]", "[submisson]", None, "no table [submission]", None),
    ],
)
def test_each_mistake_names_file_line_and_fix(tmp_path, old, new, line, said, hint):
    assert old in GOOD
    message = failure(tmp_path, GOOD.replace(old, new))
    assert message.startswith(str(tmp_path / "submission.toml"))
    assert said in message
    if line:
        assert f"line {line}: " in message
    if hint:
        assert hint.lower() in message.lower()


def test_several_mistakes_are_all_named(tmp_path):
    message = failure(tmp_path, GOOD.replace("team", "taem").replace("scales", "scale"))
    assert "taem" in message
    assert "[submission] scale " in message
    assert "scales is missing" in message
    assert message.startswith(f"{tmp_path / 'submission.toml'}: 3 mistakes")


def test_the_line_of_a_failed_row_names_the_first_mistakes(tmp_path):
    message = failure(tmp_path, GOOD.replace("team", "taem").replace("scales", "scale"))
    line = ErrorInfo(stage="discover", type="ManifestError", message=message).first_line
    assert "submission.toml: 3 mistakes: " in line
    assert "taem is not a key of a manifest (did you mean team?); " in line
    assert "scales is missing" in line


def test_the_line_of_a_failed_row_is_limited(tmp_path):
    message = failure(tmp_path, GOOD + "".join(f"key{number} = 1\n" for number in range(9)))
    line = ErrorInfo(stage="discover", type="ManifestError", message=message).first_line
    assert "9 mistakes: " in line
    assert line.endswith("; ...")
    assert line.count("must be") == 3


def test_link_out_of_the_folder_is_refused(tmp_path):
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(b"x")
    folder = tmp_path / "model"
    folder.mkdir()
    path = write(folder, GOOD)
    (folder / "weights" / "x2.safetensors").unlink()
    (folder / "weights" / "x2.safetensors").symlink_to(outside)
    with pytest.raises(ManifestError, match="links out of the folder"):
        read_manifest(path)


def test_a_number_of_thousands_of_digits_is_a_mistake_like_others(tmp_path):
    (tmp_path / "submission.toml").write_text(f'[submission]\nname = "A"\nscales = [2]\nsize_multiple = {"9" * 5000}\n')
    with pytest.raises(ManifestError, match=r"not valid TOML: .*digits"):
        read_manifest(tmp_path)


def test_missing_manifest_and_wrong_encoding(tmp_path):
    with pytest.raises(ManifestError, match="harness new"):
        read_manifest(tmp_path)
    (tmp_path / "submission.toml").write_bytes(b"\xff\xfe[submission]")
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "a\\b", "C:/x", "", "."])
def test_paths_that_could_leave_the_folder(path):
    assert not is_inside(path)


EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def toml(value) -> str:
    if isinstance(value, dict):
        pairs = (f'"{"".join(c for c in k if c.isalnum())}{i}" = {toml(v)}' for i, (k, v) in enumerate(value.items()))
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(c for c in value if c.isalnum()) + '"'
    return "0" if value is None else str(value).lower()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_only_manifest_errors_come_out_of_mutated_text(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "manifest"
    folder.mkdir(exist_ok=True)
    text = list(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.text(max_size=3))
    path = write(folder, "")
    path.write_bytes("".join(text).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ManifestError):
        read_manifest(folder)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.dictionaries(st.sampled_from([*Manifest.model_fields, "weights", "other"]), values, max_size=5), st.text())
def test_only_manifest_errors_come_out(tmp_path_factory, keys, noise):
    folder = tmp_path_factory.getbasetemp() / "manifest"
    folder.mkdir(exist_ok=True)
    body = "\n".join(f"{key} = {toml(value)}" for key, value in keys.items())
    for text in (f"[submission]\n{body}\n", noise):
        (folder / "submission.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(ManifestError):
            read_manifest(folder)
