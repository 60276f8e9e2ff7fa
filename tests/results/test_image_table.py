"""A damaged table of images is an error that says what is wrong with it."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import ResultsError
from harness.report import load_run
from harness.report.publish import publish

SAMPLE = Path(__file__).parents[2] / "reports" / "sample"
NAME = "per_image.csv"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


def replaced(old: str, new: str):
    def damage(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return damage


def cut_behind(part: str):
    return lambda text: text[: text.index(part) + len(part)]


DAMAGE = {
    "cut in a figure": (cut_behind("FSRCNN,safe-landing,2"), "cut off"),
    "cut behind a line": (lambda text: text[: text.index("LRSRN,patak")], "of the 6 images of"),
    "cut in the last figure": (lambda text: text[:-4], "cut off"),
    "a field too few": (replaced("FSRCNN,patak,", "FSRCNN,"), "has 5 fields, the first line names 6"),
    "a field too many": (replaced("FSRCNN,patak,", "FSRCNN,patak,1,"), "has 7 fields"),
    "no number": (replaced("Bicubic,balcony,30.", "Bicubic,balcony,3O."), "psnr_rgb in line 2 is '3O."),
    "not a number": (replaced("Bicubic,balcony,30.499897194016743", "Bicubic,balcony,nan"), "not a number"),
    "a network without images": (lambda text: text.replace("\nSESR,", "\nSERS,"), "0 of the 6 images of SESR"),
    "an empty file": (lambda text: "", "first line"),
    "another file": (lambda text: "<html>\n", "first line"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(sample: Path, tmp_path: Path, kind: str) -> None:
    damage, words = DAMAGE[kind]
    file = sample / NAME
    file.write_text(damage(file.read_text()))
    with pytest.raises(ResultsError, match=words) as caught:
        _ = load_run(sample).per_image
    assert str(file) in str(caught.value)
    with pytest.raises(ResultsError, match=words):
        publish([sample], tmp_path / "site")
    done = CliRunner().invoke(app, ["compare", str(sample), "--models", "LRSRN", "SESR"])
    assert done.exit_code != 0
    assert words in " ".join(done.output.split())


def test_a_complete_table_is_read(sample: Path) -> None:
    table = load_run(sample).per_image
    assert {len(images) for images in table.values()} == {6}
    assert table["Bicubic"]["balcony"]["psnr_rgb"] == 30.499897194016743


def test_a_run_without_the_table_is_no_damage(sample: Path) -> None:
    (sample / NAME).unlink()
    assert not load_run(sample).per_image
