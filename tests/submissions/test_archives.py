import contextlib
import os
import shutil
import stat
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ArchiveError
from harness.submissions.archives import Limits, extract

ARCH = "def srmodel():\n    return None\n"


def pack(path: Path, entries, method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings(action="ignore"):
        for name, content in entries:
            archive.writestr(name, content)
    return path


def info(name: str, kind: int = 0, flags: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = kind << 16
    entry.flag_bits |= flags
    return entry


def refused(tmp_path: Path, entries, said: str, limits: Limits | None = None, **kwargs) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(ArchiveError, match=said):
        extract(pack(tmp_path / "s.zip", entries, **kwargs), cache, limits)
    assert not cache.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.zip"]


def test_extraction_is_kept_and_found_again(tmp_path):
    path = pack(
        tmp_path / "s.zip", [("arch.py", ARCH), ("utils/a.py", ""), ("results/1.png", "x"), ("checkpoint.pth", "x")]
    )
    folder = extract(path, tmp_path / "cache")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "arch.py",
        "checkpoint.pth",
        "utils/a.py",
    ]
    (folder / "marker").touch()
    assert (extract(path, tmp_path / "cache") / "marker").exists()
    assert [p for p in (tmp_path / "cache").iterdir() if p.name.startswith(".")] == []


def test_a_folder_around_the_submission_is_looked_through(tmp_path):
    path = pack(tmp_path / "s.zip", [("team/", ""), ("team/arch.py", ARCH), ("__MACOSX/._arch.py", "x")])
    assert extract(path, tmp_path / "cache").name == "team"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../evil.py", "zip slip"),
        ("a/../../evil.py", "zip slip"),
        ("/etc/evil", "absolute path"),
        ("C:/evil", "absolute path"),
        ("a\\..\\evil", "backslash"),
        ("x" * 300, "too long for the file system"),
        ("nested.zip", "archive within"),
        ("nested.tar.gz", "archive within"),
    ],
)
def test_names_that_escape(tmp_path, name, said):
    refused(tmp_path, [("arch.py", ARCH), (name, "x")], said)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (info("link", stat.S_IFLNK | 0o777), "symbolic link"),
        (info("pipe", stat.S_IFIFO | 0o666), "device, pipe or socket"),
        (info("disk", stat.S_IFBLK | 0o666), "device, pipe or socket"),
    ],
)
def test_only_files_and_folders(tmp_path, entry, said):
    refused(tmp_path, [("arch.py", ARCH), (entry, "/etc/passwd")], said)


def test_encrypted_entries(tmp_path):
    path = pack(tmp_path / "s.zip", [("arch.py", ARCH)])
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(ArchiveError, match="encrypted"):
        extract(path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["arch.py", "arch.py"], "there twice"),
        (["arch.py", "Arch.py"], "one file on some systems"),
        (["a/x", "A/y"], "one file on some systems"),
        (["caf\u00e9", "cafe\u0301"], "one file on some systems"),
        (["a", "a/b"], "both a file and a folder|one file"),
        (["a/b", "a"], "both a file and a folder|one file"),
    ],
)
def test_entries_that_collide(tmp_path, names, said):
    refused(tmp_path, [(name, "x") for name in names], said)


def test_bombs(tmp_path):
    refused(tmp_path, [("arch.py", b"\0" * 4_000_000)], "compression ratio of")
    refused(tmp_path, [("arch.py", b"x" * 100)], "unpacks to", Limits(total_bytes=50))
    refused(tmp_path, [(f"f{i}", "") for i in range(20)], "holds 20 entries", Limits(entries=10))
    refused(tmp_path, [(f"f{i}", "") for i in range(20)], "index of", Limits(index_bytes=100))
    refused(tmp_path, [("arch.py", ARCH)], "the limit is", Limits(file_bytes=10))
    refused(tmp_path, [("arch.py", ARCH)], "other than deflate", method=zipfile.ZIP_BZIP2)
    refused(tmp_path, [], "is empty")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + b"x" * 100])
def test_what_is_no_zip(tmp_path, content):
    (tmp_path / "s.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match="not an intact zip"):
        extract(tmp_path / "s.zip", tmp_path / "cache")


def test_damaged_content_leaves_nothing_behind(tmp_path):
    path = pack(tmp_path / "s.zip", [("arch.py", ARCH * 20)], zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"srmodel", b"srMODEL", 1))
    with pytest.raises(ArchiveError, match="damaged"):
        extract(path, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    return tmp_path_factory.mktemp("arena")


def only_archive_errors(arena: Path, path: Path) -> None:
    """Extract, and find nothing anywhere but in the cache."""
    before = sorted(arena.iterdir())
    cache = arena / "deep" / "deeper" / "cache"
    with contextlib.suppress(ArchiveError):
        assert extract(path, cache).is_relative_to(cache)
        assert not any(file.is_symlink() for file in cache.rglob("*"))
        assert [child.name for child in (arena / "deep" / "deeper").iterdir()] == ["cache"]
    shutil.rmtree(arena / "deep", ignore_errors=True)
    assert sorted(arena.iterdir()) == before


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_only_archive_errors_come_out_of_a_mutated_zip(arena, data):
    path = pack(arena / "s.zip", [("arch.py", ARCH), ("utils/a.py", "x" * 50), ("checkpoint.pth", b"\0" * 99)])
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    only_archive_errors(arena, path)


parts = st.sampled_from(
    ["..", ".", "a", "A", "\u00e9", "e\u0301", "results", "", "con", "b.zip", "x" * 256, "\u202e", "-"]
)
names = st.lists(parts, min_size=1, max_size=5).map("/".join) | st.text(min_size=1, max_size=12)
kinds = st.sampled_from([0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK])


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(names, kinds, st.binary(max_size=20)), min_size=1, max_size=5))
def test_only_archive_errors_come_out_of_odd_names(arena, entries):
    with contextlib.suppress(UnicodeEncodeError):
        only_archive_errors(arena, pack(arena / "s.zip", [(info(name, kind), text) for name, kind, text in entries]))


def test_a_cache_that_cannot_be_written_is_the_row_of_that_zip(tmp_path):
    (tmp_path / "file").touch()
    path = pack(tmp_path / "s.zip", [("arch.py", ARCH)])
    with pytest.raises(ArchiveError, match=r"cannot be unpacked: .*HARNESS_CACHE_DIR"):
        extract(path, tmp_path / "file" / "cache")
