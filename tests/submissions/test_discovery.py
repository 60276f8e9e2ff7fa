import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from harness.errors import ArchiveError, ManifestError, UsageError
from harness.submissions.discovery import BrokenSubmission, Submission, discover, skipped_folders
from harness.submissions.inbox import skipped_line
from harness.submissions.skeleton import create
from harness.submissions.slugs import natural_key, slugify, unique_slugs
from harness.worker.loader import load_network

BOMB = "raise RuntimeError('imported')\n"


def model(parent: Path, name: str, title: str | None = None) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "submission.toml").write_text(f'[submission]\nname = "{title or name}"\nscales = [2]\n')
    (folder / "arch.py").write_text(BOMB)
    return folder


def protocol_zip(path: Path, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{top}arch.py", BOMB)
        archive.writestr(f"{top}checkpoint.pth", "x")
        archive.writestr(f"{top}results/1.png", "x")
    return path


def find(*paths: Path, **options):
    return discover(paths, entry_points=False, **options)


def test_a_folder_of_everything_in_natural_order(tmp_path):
    where = tmp_path / "all"
    for name in ("team10", "team2", "Team1"):
        model(where, name)
    protocol_zip(where / "team3.zip")
    protocol_zip(where / "team4.zip", top="wrapped/")
    (where / "bare").mkdir()
    (where / "bare" / "arch.py").write_text(BOMB)
    (where / "notes.txt").touch()
    (where / "empty").mkdir()
    (where / ".git").mkdir()
    (where / "broken").mkdir()
    (where / "broken" / "submission.toml").write_text("[submission")
    (where / "stray").mkdir()
    (where / "stray" / "model.py").touch()
    (where / "bad.zip").write_bytes(b"no zip")
    found = find(where, cache_dir=tmp_path / "cache")
    assert [one.name for one in found] == [
        "bad",
        "bare",
        "broken",
        "stray",
        "Team1",
        "team2",
        "team3",
        "team4",
        "team10",
    ]
    broken = {one.name: type(one.error) for one in found if isinstance(one, BrokenSubmission)}
    assert broken == {"bad": ArchiveError, "broken": ManifestError, "stray": ManifestError}
    zipped = next(one for one in found if one.name == "team4")
    assert zipped.origin == "zip"
    assert zipped.manifest.weights_for(3) == Path("checkpoint.pth")
    assert (zipped.root / "arch.py").is_file()


def test_one_submission_and_one_zip(tmp_path):
    (one,) = find(model(tmp_path, "a", "Bicubic++ (X)"))
    assert (one.name, one.slug, one.kind, one.origin) == (
        "Bicubic++ (X)",
        "Bicubic-plus-plus-X",
        "submission",
        "folder",
    )
    (zipped,) = find(protocol_zip(tmp_path / "submission_12.zip"), cache_dir=tmp_path / "cache")
    assert zipped.name == "submission_12"


def test_the_same_folder_twice_is_one_and_equal_names_are_told_apart(tmp_path):
    model(tmp_path, "a", "Same")
    model(tmp_path, "b", "same")
    found = find(tmp_path, tmp_path / "a")
    assert [one.slug for one in found] == ["Same", "same-2"]


def test_two_zip_files_of_the_same_bytes_are_two_submissions(tmp_path):
    protocol_zip(tmp_path / "team1.zip")
    (tmp_path / "team2.zip").write_bytes((tmp_path / "team1.zip").read_bytes())
    found = find(tmp_path, tmp_path / "team1.zip", cache_dir=tmp_path / ".cache")
    assert [one.name for one in found] == ["team1", "team2"]
    assert found[0].root == found[1].root


def packed(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return path


def test_what_is_wrong_in_a_zip_names_the_zip(tmp_path):
    first = packed(tmp_path / "noarch.zip", net_py=BOMB)
    second = packed(tmp_path / "empty-manifest.zip", submission_toml="", arch_py=BOMB)
    many = packed(tmp_path / "many.zip", submission_toml='[[model]]\nname = "a"\nscale = [2]\n', arch_py=BOMB)
    found = find(tmp_path, cache_dir=tmp_path / ".cache")
    said = {one.path.name: f"{one.error}" for one in found if isinstance(one, BrokenSubmission)}
    assert said.keys() == {first.name, second.name, many.name}
    assert said[first.name].startswith(f"{first}: has neither submission.toml nor arch.py")
    assert said[second.name].startswith(f"{second}/submission.toml: ")
    assert said[many.name].startswith(f"{many}/submission.toml: ")
    assert not any(".cache" in message for message in said.values())


@pytest.mark.parametrize("mark", ["net.py", ".git/HEAD"])
def test_a_repository_that_nothing_describes_is_not_taken_for_submissions(tmp_path, tmp_path_factory, mark):
    for file in (mark, "basicsr/train.py", "experiments/best.pth", "docs/conf.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(UsageError, match="nothing says what its networks are") as raised:
        find(tmp_path)
    assert f"`harness init {tmp_path}`" in str(raised.value)
    (tmp_path / "challenge").mkdir()
    for file in ("net.py", "net_x2.pth"):  # a model file and its checkpoint
        (tmp_path / "challenge" / file).touch()
    assert [one.name for one in find(tmp_path, cache_dir=tmp_path_factory.mktemp("cache"))] == [
        "basicsr",
        "docs",
        "experiments",
        "net",
    ]
    shutil.rmtree(tmp_path / "challenge")
    model(tmp_path, "a")
    assert [one.name for one in find(tmp_path)] == ["a", "basicsr", "docs", "experiments"]


def test_what_is_wrong_with_a_single_file_names_the_file(tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(b"x")
    (one,) = find(path, cache_dir=tmp_path / ".cache")
    assert one.named(f"{one.root / one.manifest.weights_for(2)}: is damaged") == f"{path}: is damaged"
    assert one.named(f"{one.root}: is damaged") == f"{path}: is damaged"


def test_links_that_lead_nowhere_are_passed_over(tmp_path):
    model(tmp_path, "a")
    (tmp_path / "b").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "c")
    assert [one.name for one in find(tmp_path)] == ["a"]


@pytest.mark.parametrize("name", ["sub.rar", "sub.7z", "sub.tar.gz", "Sub.TGZ", "sub.tar"])
def test_an_archive_of_another_format_is_a_broken_submission(tmp_path, name):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / name).write_bytes(b"x")
    model(tmp_path / "inbox", "good")
    broken, good = sorted(find(tmp_path / "inbox"), key=lambda one: isinstance(one, Submission))
    assert (broken.name.lower(), good.name) == ("sub", "good")
    assert "only zip files are read" in str(broken.error)
    assert "zip -r submission.zip FOLDER" in str(broken.error)
    with pytest.raises(UsageError, match="a zip of it"):
        find(tmp_path / "inbox" / name)


def test_folders_without_a_submission_are_named_other_things_are_not(tmp_path):
    inbox = tmp_path / "inbox"
    model(inbox, "good")
    for name in ("empty", "only/images", "__MACOSX", ".cache", "run/samples", "reports/first"):
        (inbox / name).mkdir(parents=True)
    for name in ("README.md", ".DS_Store", "run/results.json", "reports/first/results.json"):
        (inbox / name).touch()
    assert skipped_folders([inbox]) == ["empty", "only"]
    assert skipped_line(["empty", "only"]).startswith("skipped: empty, only (")
    assert skipped_folders([inbox / "good", protocol_zip(tmp_path / "one.zip")]) == []
    assert skipped_line([]) == ""


def test_many_skipped_folders_are_counted():
    assert "f7 and 3 more" in skipped_line([f"f{number}" for number in range(11)])


def test_globs_pick_by_name_slug_and_folder(tmp_path):
    for name in ("LRSRN", "IMDN", "SESR"):
        model(tmp_path, name, f"{name} x")
    assert [one.name for one in find(tmp_path, only=["*sr*"])] == ["LRSRN x", "SESR x"]
    assert [one.name for one in find(tmp_path, only=["imdn", "SESR-x"])] == ["IMDN x", "SESR x"]
    assert [one.name for one in find(tmp_path, only=["*sr*"], exclude=["l*"])] == ["SESR x"]
    with pytest.raises(UsageError, match=r"left of 3 after --only.*LRSRN"):
        find(tmp_path, only=["nothing"])


def test_nothing_found_says_what_was_looked_for(tmp_path):
    with pytest.raises(UsageError, match=r"submission\.toml or arch\.py.*harness new"):
        find(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        find(tmp_path / "none")
    (tmp_path / "x.tar").touch()
    with pytest.raises(UsageError, match="is not a submission"):
        find(tmp_path / "x.tar")


@pytest.mark.parametrize("name", ["\u8d85\u89e3\u50cf \u2728", "x" * 4096, "..", "a/b", "caf\u00e9", " ", "-"])
def test_slugs_are_safe(name):
    slug = slugify(name)
    assert slug.isascii()
    assert 1 <= len(slug) <= 60
    assert slug not in (".", "..")
    assert "/" not in slug


def test_unique_slugs_never_clash():
    assert unique_slugs(["a", "A", "a-2", "a"]) == ["a", "A-2", "a-2-2", "a-3"]
    assert unique_slugs(["a"], taken=["A"]) == ["a-2"]


def test_natural_key_takes_any_text():
    assert sorted(["x10", "x2", "X1", "\u00b2", "3", ""], key=natural_key) == ["", "3", "X1", "x2", "x10", "\u00b2"]


ENTRY_POINTS = """\
[harness.submissions]
Plain = zz_models.plain:build
Described = zz_models.nested.arch
Missing = zz_not_there.arch:srmodel
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    site = tmp_path / "site"
    (site / "zz_models" / "nested").mkdir(parents=True)
    (site / "zz_models" / "__init__.py").write_text(BOMB)
    (site / "zz_models" / "plain.py").write_text(BOMB)
    (site / "zz_models" / "nested" / "arch.py").write_text(BOMB)
    (site / "zz_models" / "nested" / "w.safetensors").touch()
    text = '[submission]\nname = "From package"\nscales = [3]\n[weights]\nx3 = "w.safetensors"\n'
    (site / "zz_models" / "nested" / "submission.toml").write_text(text)
    info = site / "zz_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    return site / "zz_models"


def test_installed_packages_are_listed_without_being_imported(package, tmp_path):
    found = {one.name: one for one in discover([model(tmp_path, "local")])}
    assert set(found) >= {"local", "Plain", "From package", "Missing"}
    assert not any(name.startswith("zz_models") for name in sys.modules)
    plain, described, missing = found["Plain"], found["From package"], found["Missing"]
    assert (plain.root, plain.module, plain.manifest.factory) == (package, "zz_models.plain", "zz_models.plain:build")
    assert described.manifest.factory == "zz_models.nested.arch:srmodel"
    assert described.manifest.weights_for(3) == Path("nested/w.safetensors")
    assert (described.root / described.manifest.weights_for(3)).is_file()
    assert described.origin == "entry-point"
    assert isinstance(missing, BrokenSubmission)
    assert "does not refer to an installed package" in str(missing.error)


def test_an_installed_package_loads_under_its_own_name(package):
    (package / "__init__.py").write_text("")
    (package / "size.py").write_text("SCALE = 2\n")
    (package / "plain.py").write_text(
        "import zz_models\nfrom .size import SCALE\nfrom torch import nn\n"
        "def build():\n    return nn.Upsample(scale_factor=SCALE)\n"
    )
    network = load_network(package, "zz_models.plain:build", 2, None)
    assert network.scale_factor == 2.0
    for name in [name for name in sys.modules if name.startswith("zz_models")]:
        del sys.modules[name]


def test_a_new_submission_is_found(tmp_path):
    create("My model 2", tmp_path)
    (one,) = find(tmp_path)
    assert one.name == "My model 2"
