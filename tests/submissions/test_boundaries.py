"""What belongs to a submission: links that leave its folder, and folders that hold other submissions as well."""

import os
import zipfile
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.submissions.discovery import BrokenSubmission, Submission, discover

MANIFEST = '[submission]\nname = "{}"\nscales = [2]\n'


def submission(folder: Path, name: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "submission.toml").write_text(MANIFEST.format(name or folder.name))
    (folder / "arch.py").write_text("")
    return folder


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/arch.py", "")
    return path


def find(*paths: Path) -> dict[str, Submission | BrokenSubmission]:
    return {one.name: one for one in discover(paths, entry_points=False, cache_dir=paths[0].parent / ".cache")}


@pytest.mark.parametrize(
    "name", ["requirements.txt", "README.md", "weights/x2.pth", "results/out.png", ".hidden", "__pycache__/a.pyc"]
)
def test_a_file_that_links_out_of_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("password")
    honest, hostile = submission(tmp_path / "inbox" / "honest"), submission(tmp_path / "inbox" / "hostile")
    (hostile / name).parent.mkdir(exist_ok=True)
    (hostile / name).symlink_to(tmp_path / "secret")
    found = find(tmp_path / "inbox")
    assert isinstance(found["honest"], Submission)
    assert found["honest"].root == honest
    error = found["hostile"].error
    assert "links out of the folder" in str(error)
    assert name in str(error)
    assert "password" not in str(error)


@pytest.mark.parametrize("target", ["..", "../honest", "../../secrets", "/", "/etc"])
def test_a_folder_that_links_out_is_refused(target: str, tmp_path: Path) -> None:
    submission(tmp_path / "inbox" / "honest")
    (tmp_path / "secrets").mkdir()
    (submission(tmp_path / "inbox" / "hostile") / "utils").symlink_to(target)
    assert "links out of the folder" in str(find(tmp_path / "inbox")["hostile"].error)


def test_links_inside_and_links_in_circles_are_no_fault(tmp_path: Path) -> None:
    folder = submission(tmp_path / "inbox" / "net")
    (folder / "weights").mkdir()
    (folder / "weights" / "x2.pth").write_bytes(b"1")
    (folder / "best.pth").symlink_to("weights/x2.pth")
    (folder / "again").symlink_to(".")
    (folder / "circle").symlink_to("circle")
    assert isinstance(find(tmp_path / "inbox")["net"], Submission)


def test_a_name_that_begins_like_the_folder_is_outside(tmp_path: Path) -> None:
    (submission(tmp_path / "inbox" / "net2") / "arch.py").write_text("x = 1")
    (submission(tmp_path / "inbox" / "net") / "other.py").symlink_to("../net2/arch.py")
    assert "links out" in str(find(tmp_path / "inbox")["net"].error)


@pytest.mark.parametrize("kind", ["folder", "zip", "file"])
def test_what_lies_in_an_inbox_may_not_be_a_link_out_of_it(kind: str, tmp_path: Path) -> None:
    target = {"folder": submission, "zip": zipped, "file": Path.touch}[kind]
    place = tmp_path / {"folder": "private", "zip": "private.zip", "file": "private.onnx"}[kind]
    target(place)
    submission(tmp_path / "inbox" / "honest")
    (tmp_path / "inbox" / place.name).symlink_to(place)
    found = find(tmp_path / "inbox")
    assert "leads out of the folder of submissions" in str(found["private"].error)
    # The user may name a link.
    (named,) = find(tmp_path / "inbox" / place.name).values()
    assert isinstance(named, Submission)


@pytest.mark.parametrize("other", ["folder", "wrapped", "plain", "zip"])
def test_an_inbox_that_is_itself_a_submission_is_refused(other: str, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    submission(inbox)
    if other == "zip":
        zipped(inbox / "team.zip")
    elif other == "plain":
        (inbox / "team").mkdir()
        (inbox / "team" / "arch.py").touch()
    else:
        submission(inbox / "team" / "net" if other == "wrapped" else inbox / "team")
    with pytest.raises(UsageError, match=r"is a submission .* and holds others: 'team") as caught:
        find(inbox)
    assert "could read the other submissions" in str(caught.value)


def test_an_inbox_with_a_loose_arch_alone_is_refused(tmp_path: Path) -> None:
    submission(tmp_path / "inbox" / "team")
    (tmp_path / "inbox" / "arch.py").touch()
    with pytest.raises(UsageError, match="holds others: 'team'"):
        find(tmp_path / "inbox")


def test_an_inbox_within_an_inbox_is_one_failed_row(tmp_path: Path) -> None:
    submission(tmp_path / "all" / "honest")
    submission(submission(tmp_path / "all" / "both") / "team")
    found = find(tmp_path / "all")
    assert isinstance(found["honest"], Submission)
    assert "holds other submissions: 'team'" in str(found["both"].error)


def test_folders_and_archives_of_a_submissions_own_are_no_others(tmp_path: Path) -> None:
    folder = submission(tmp_path / "net")
    (folder / "submission.toml").write_text(MANIFEST.format("net") + 'factory = "models.arch:srmodel"\n')
    for name in ("models", "utils"):
        (folder / name).mkdir()
    (folder / "models" / "arch.py").touch()
    (folder / "utils" / "blocks.py").touch()
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.writestr("1.png", b"")
    os.mkfifo(folder / "pipe.zip")
    assert isinstance(find(folder)["net"], Submission)


@pytest.mark.parametrize("named", ["inbox", "inbox/net"])
@pytest.mark.parametrize("beside", ["weights", "net"])
def test_a_deep_folder_beside_the_code_is_one_failed_row(tmp_path: Path, named: str, beside: str) -> None:
    folder = submission(tmp_path / "inbox" / "net")
    submission(folder.joinpath(beside, *["d"] * 60))
    found = find(tmp_path / named)
    assert "nested more than" in str(found["net"].error)
