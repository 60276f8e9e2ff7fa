"""The registry of data sets: facts, registered folders, verification, downloads from a local server."""

import errno
import hashlib
import http.server
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data import (
    KNOWN_DATASETS,
    add,
    fetch,
    fetching,
    get_degradation,
    list_datasets,
    open_dataset,
    read_rgb,
    registered,
    registry,
    verify,
    write_png,
)
from harness.data.download import resuming_downloader
from harness.data.registry import Archive, KnownDataset
from harness.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(5):
        write_png(tmp_path / "images" / f"{index}.png", np.full((24, 36, 3), 40 * index, np.uint8))
    return tmp_path / "images"


def test_the_sets_of_the_field_are_listed() -> None:
    names = {"embedded", "Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K-valid", "LSDIR-valid", "ntire23-test"}
    listed = {one.name: one for one in list_datasets()}
    assert listed.keys() == names
    assert listed["embedded"].found > 0
    assert listed["Set5"].folder is None
    assert all(known.licence and known.where for known in KNOWN_DATASETS.values())


def test_known_counts_are_those_of_the_real_sets(shared: Path) -> None:
    for name in ("Set5", "Set14"):
        assert add(name, shared / "data" / name) == KNOWN_DATASETS[name].images
        assert len(open_dataset(name, 2, get_degradation("bicubic"))) == KNOWN_DATASETS[name].images


def test_a_registered_folder_opens_by_name(folder: Path) -> None:
    assert add("mine", folder) == 5
    assert registered() == {"mine": folder}
    dataset = open_dataset("mine", 2, get_degradation("ntire23"))
    assert (dataset.name, len(dataset)) == ("mine", 5)
    assert {one.name: one.found for one in list_datasets()}["mine"] == 5


def test_a_folder_with_other_images_than_the_known_set_is_refused(folder: Path) -> None:
    (folder / "4.png").unlink()
    with pytest.raises(DataError, match="holds 4 images, but Set5 has 5"):
        add("Set5", folder)
    assert registered() == {}


@pytest.mark.parametrize("name", ["embedded", "", "a/b"])
def test_some_names_are_taken(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name"):
        add(name, folder)


def test_a_damaged_registry_is_named(cache: Path) -> None:
    cache.mkdir()
    (cache / "datasets.json").write_text("[")
    with pytest.raises(DataError, match="is damaged"):
        registered()


def test_a_known_set_that_is_not_here_says_how_to_get_it() -> None:
    with pytest.raises(UsageError, match="harness datasets add Manga109 FOLDER"):
        open_dataset("Manga109", 2, get_degradation("ntire23"))
    with pytest.raises(DataError, match="request access"):
        fetch("Manga109")
    with pytest.raises(UsageError, match="one of: Set5"):
        fetch("Set6")


def test_the_real_sets_are_known_by_their_pixels(shared: Path, tmp_path: Path) -> None:
    for name in ("Set5", "Set14"):
        assert {one.state for one in verify(shared / "data" / name, name=name)} == {"ok"}
    bird = read_rgb(shared / "data" / "Set5" / "HR" / "bird.png")
    Image.fromarray(bird).save(tmp_path / "renamed.webp", lossless=True)
    Image.fromarray(bird[:-2]).save(tmp_path / "cropped.png")
    states = {one.name: one.state for one in verify(tmp_path, name="Set5")}
    assert states == {"renamed.webp": "ok", "cropped.png": "bad"}
    assert {one.state for one in verify(tmp_path)} == {"ok"}


def test_verify_names_every_bad_image(folder: Path) -> None:
    write_png(folder / "LR" / "0.png", np.zeros((12, 18, 3), np.uint8))
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:50])
    write_png(folder / "LR_bicubic" / "X2" / "0.png", np.zeros((12, 18, 3), np.uint8))
    (folder / "5.png").symlink_to(folder / "gone.png")
    results = {one.name: one for one in verify(folder)}
    lr = {"LR/0.png", "LR_bicubic/X2/0.png"}
    assert results.keys() == {"0.png", "1.png", "2.png", "3.png", "4.png", "5.png", *lr}
    assert [name for name, one in results.items() if one.state == "bad"] == ["2.png", "5.png"]
    assert "broken link" in results["5.png"].reason
    with pytest.raises(DataError, match=r"5\.png: is a broken link"):
        add("mine", folder)
    with pytest.raises(DataError, match="no such folder"):
        verify(folder / "nowhere")


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests on this machine; yield the address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder on this machine."""
    root = tmp_path / "served"
    root.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(root), **kwargs)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Quiet) as address:
        yield address, root


def known(monkeypatch: pytest.MonkeyPatch, archive: Archive) -> None:
    tiny = KnownDataset("tiny", "a test", 5, 1, "free", "nowhere", archive)
    for module in (registry, fetching):
        monkeypatch.setitem(module.KNOWN_DATASETS, "tiny", tiny)


def pack(folder: Path, target: Path) -> str:
    """Pack the images as archives on the web are packed, in a folder of the set's name; return the checksum."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"tiny_HR/{path.name}")
    else:
        with tarfile.open(target, "w:gz") as archive:
            archive.add(folder, "tiny_HR")
    return f"sha256:{hashlib.sha256(target.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_a_set_is_fetched_checked_unpacked_and_registered(
    server: tuple[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    address, root = server
    checksum = pack(folder, root / f"tiny.{suffix}")
    known(monkeypatch, Archive((f"{address}/gone.{suffix}", f"{address}/tiny.{suffix}"), checksum))
    place = fetch("tiny")
    assert sorted(path.name for path in (place / "HR").iterdir()) == [f"{index}.png" for index in range(5)]
    assert len(open_dataset("tiny", 2, get_degradation("ntire23"))) == 5
    assert not [path for path in place.parent.iterdir() if path.name.startswith(".")]


def test_a_wrong_checksum_is_refused(server: tuple[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, root = server
    pack(folder, root / "tiny.zip")
    known(monkeypatch, Archive((f"{address}/tiny.zip",), f"sha256:{'0' * 64}"))
    with pytest.raises(DataError, match="could not be downloaded"):
        fetch("tiny")
    assert registered() == {}


def test_an_incomplete_archive_is_refused(
    server: tuple[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "3.png").unlink()
    address, root = server
    checksum = pack(folder, root / "tiny.zip")
    known(monkeypatch, Archive((f"{address}/tiny.zip",), checksum))
    with pytest.raises(DataError, match="holds 4 images, but tiny has 5"):
        fetch("tiny")
    assert registered() == {}


def test_images_of_one_name_do_not_replace_each_other(
    server: tuple[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, root = server
    with zipfile.ZipFile(root / "tiny.zip", "w") as archive:
        for number, path in enumerate(sorted(folder.iterdir())):
            archive.write(path, f"part{number}/{path.name if number else '1.png'}")
    known(monkeypatch, Archive((f"{address}/tiny.zip",)))
    with pytest.raises(DataError, match=r"several images called '1.png' in different folders"):
        fetch("tiny")
    assert registered() == {}


def test_a_download_that_was_cut_off_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checksum = pack(folder, tmp_path / "tiny.zip")
    content = (tmp_path / "tiny.zip").read_bytes()
    ranges: list[str | None] = []

    class Cutting(http.server.BaseHTTPRequestHandler):
        """Send half of the file, then hang up; send the rest to whoever asks for it."""

        def do_GET(self) -> None:
            ranges.append(self.headers["Range"])
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if ranges[-1] else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:] if start else content[: len(content) // 2])

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(fetching, "resuming_downloader", partial(resuming_downloader, chunk=64))
    with serving(Cutting) as address:
        known(monkeypatch, Archive((f"{address}/tiny.zip",), checksum))
        with pytest.raises(DataError, match="could not be downloaded"):
            fetch("tiny")
        seen: list[tuple[int, int]] = []
        fetch("tiny", lambda here, total: seen.append((here, total)))
    assert ranges[0] is None
    assert ranges[1] is not None
    assert 0 < int(ranges[1][6:-1]) <= len(content) // 2
    assert seen[-1] == (len(content), len(content))
    assert "tiny" in registered()


def test_without_a_network_it_says_what_to_put_where(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, Archive(("http://127.0.0.1:9/tiny.zip",)))
    with pytest.raises(DataError, match="put them into a folder HR; then: harness datasets add tiny FOLDER"):
        fetch("tiny")


@pytest.mark.parametrize("damage", ["cut", "altered"])
@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_a_damaged_archive_is_refused_and_not_used_again(
    server: tuple[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, damage: str
) -> None:
    address, root = server
    archive = root / f"tiny.{suffix}"
    pack(folder, archive)
    whole = archive.read_bytes()
    middle = len(whole) // 3
    archive.write_bytes(whole[: 2 * middle] if damage == "cut" else whole[:middle] + bytes(64) + whole[middle + 64 :])
    known(monkeypatch, Archive((f"{address}/tiny.{suffix}",)))  # without a checksum
    with pytest.raises(DataError, match="is not an intact archive"):
        fetch("tiny")
    archive.write_bytes(whole)
    assert len(list((fetch("tiny") / "HR").iterdir())) == 5


def test_an_archive_is_kept_if_there_is_no_room_for_its_images(
    server: tuple[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, root = server
    pack(folder, root / "tiny.zip")
    known(monkeypatch, Archive((f"{address}/tiny.zip",)))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.unpack_archive", full)
        with pytest.raises(DataError, match=r"No space left.*Make room"):
            fetch("tiny")
    (root / "tiny.zip").unlink()
    assert len(list((fetch("tiny") / "HR").iterdir())) == 5  # nothing is downloaded again
