"""A submission that is sent to another machine is the same there."""

import shutil
from pathlib import Path

import pytest

from harness.errors import SubmissionError
from harness.results.fingerprint import fingerprint_folder
from harness.submissions.discovery import Submission, discover
from harness.submissions.parcel import pack, unpack

MANIFEST = '[submission]\nname = "small"\nscales = [2]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    (folder / "weights" / "deep").mkdir(parents=True)
    (folder / "arch.py").write_text("def srmodel(scale=2): ...\n")
    (folder / "weights" / "deep" / "x2.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "umlaut-ä.txt").write_text("ä")
    (folder / "submission.toml").write_text(MANIFEST)
    (folder / "README.md").write_text("for people")
    (folder / "same.py").symlink_to("arch.py")
    (folder / "linked").symlink_to("weights/deep")
    return folder


def discovered(folder: Path) -> Submission:
    (found,) = discover([folder], entry_points=False)
    assert isinstance(found, Submission)
    return found


def test_it_has_the_same_files(folder: Path, tmp_path: Path) -> None:
    before = fingerprint_folder(folder)
    parcel = pack(discovered(folder))
    assert parcel is not None
    assert parcel.total_bytes >= 256 * 40
    shutil.rmtree(folder)
    arrived = unpack(parcel, tmp_path / "elsewhere" / "one")
    assert fingerprint_folder(arrived) == before
    assert (arrived / "submission.toml").read_text() == MANIFEST
    assert not (arrived / "README.md").exists()  # nothing that the fingerprint does not cover
    assert (arrived / "linked" / "x2.bin").is_file()
    assert arrived.stat().st_mode & 0o777 == 0o755
    assert unpack(parcel, arrived) == arrived
    assert [path.name for path in arrived.parent.iterdir()] == ["one"]


def test_links_do_not_lead_to_folders_of_the_other_machine(folder: Path, tmp_path: Path) -> None:
    (folder / "absolute").symlink_to(folder / "weights")
    parcel = pack(discovered(folder))
    assert parcel is not None
    arrived = unpack(parcel, tmp_path / "elsewhere" / "one")
    assert (arrived / "absolute").resolve() == (arrived / "weights").resolve()


def test_a_folder_that_has_changed_meanwhile_is_refused(folder: Path, tmp_path: Path) -> None:
    submission = discovered(folder)
    (tmp_path / "secret").write_text("not of the submission")
    (folder / "late").symlink_to(tmp_path / "secret")
    with pytest.raises(SubmissionError, match="links out of the folder"):
        pack(submission)
