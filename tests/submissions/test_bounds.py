"""What strangers' folders, manifests and requirements may cost, and what is refused or skipped."""

import os
import time
from pathlib import Path

import pytest

from harness.errors import ManifestError, SubmissionError
from harness.plain_files import Deadline, FolderLimits, survey
from harness.submissions.discovery import BrokenSubmission, discover
from harness.submissions.manifest import read_manifest
from harness.submissions.requirements import parse, unmet

GOOD = '[submission]\nname = "a"\nscales = [2]\n'
LIMIT_S = 20.0  # each took minutes or for ever; on an idle machine each takes less than two seconds


@pytest.mark.parametrize(
    "more",
    [
        "".join(f"k{number} = 1\n" for number in range(50_000)),
        'x = 1\ndescription = """\n[' + " " * 20_000 + 'x\n"""\n',
        'x = 1\ndescription = """\n' + "[" * 20_000 + '\n"""\n',
        ".".join("a" * 100_000) + " = 1\n",
        "[" + ".".join("a" * 100_000) + "]\n",
        "\n".join(f"[{'a' * 500}{number}]" for number in range(1500)),
        "a" * 200_000 + " = 1\n",
        "requires = [" + "'" + "(" * 400 + "'" + "]\n",
        "requires = [\"foo; os_name ~= 'x'\"]\n",
        "[published]\n" + "".join(f"x2{'0' * number} = 1\n" for number in range(500)),
    ],
)
def test_a_manifest_of_any_content_is_refused_in_little_time(tmp_path: Path, more: str) -> None:
    (tmp_path / "submission.toml").write_text(GOOD + more)
    begin = time.monotonic()
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path)
    assert time.monotonic() - begin < LIMIT_S
    assert len(str(caught.value)) < 8000


@pytest.mark.parametrize("text", ["foo; os_name ~= 'x'", "a; " + "(" * 400, "a==1.*.x", "", "\x00", "a" * 501])
def test_requirements_that_packaging_raises_at_are_unmet(text: str) -> None:
    assert parse(text) is None
    assert "not a requirement" in unmet([text])[0]


def test_what_is_not_a_plain_file_is_skipped_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "arch.py").write_text("")
    os.mkfifo(tmp_path / "pipe\n")
    (tmp_path / "broken").symlink_to("none")
    (tmp_path / "circle").symlink_to("circle")
    found = survey(tmp_path)
    assert [path.name for path in found.files] == ["arch.py"]
    assert found.note() == "skipped what is not a plain file: 'broken', 'circle', 'pipe\\n'"


@pytest.mark.parametrize("target", ["/proc/kmsg", "/etc/passwd", "/", "../other"])
def test_links_that_leave_the_folder_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "other").write_text("")
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "link").symlink_to(target)
    with pytest.raises(SubmissionError, match="links out of the folder"):
        survey(folder)


def test_limits_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_bytes(bytes(9))
    for limits, said in (
        (FolderLimits(files=2), "more than 2 files"),
        (FolderLimits(depth=1), "nested more than 1 deep"),
        (FolderLimits(name_bytes=3), "names of more than"),
        (FolderLimits(total_bytes=8), "sparse files included"),
    ):
        with pytest.raises(SubmissionError, match=said):
            survey(tmp_path, limits)
    with pytest.raises(SubmissionError, match="takes longer than"):
        survey(tmp_path, deadline=Deadline(0.0))


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"a\xe2\x80\xaeb", b"a\x1b[31m", b"   "])
def test_odd_names_of_folders_become_visible_names(tmp_path: Path, name: bytes) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    (folder / "arch.py").write_text("")
    (one,) = discover([tmp_path], entry_points=False)
    one.name.encode()
    assert one.name.isprintable() or "\ufffd" in one.name
    assert "\n" not in one.name
    assert one.slug


def test_a_tree_that_is_too_deep_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "arch.py").write_text("")
    (tmp_path / "deep").joinpath(*["d"] * 300).mkdir(parents=True)
    deep, good = discover([tmp_path], entry_points=False)
    assert isinstance(deep, BrokenSubmission)
    assert "wrapped in more than 32 folders" in str(deep.error)
    assert not isinstance(good, BrokenSubmission)
