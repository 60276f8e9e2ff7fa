"""Zip files of strangers: judged as a whole from their index, extracted only if nothing is wrong with any entry."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import ArchiveError

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold. The defaults fit any real-time network with its sample results at 4K."""

    file_bytes: int = 2048 * MIB
    """Size of the zip file."""
    total_bytes: int = 4096 * MIB
    """Size of all entries, unpacked."""
    entries: int = 10_000
    """Number of entries."""
    index_bytes: int = 8 * MIB
    """Size of the zip's index, which is read to memory as a whole."""
    ratio: int = 200
    """Unpacked over packed size of an entry; deflate cannot exceed 1032."""
    ratio_from: int = MIB
    """Entries that unpack to less are exempt from ``ratio``."""


_NESTED = {".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz", ".zst"}
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_END_RECORD = b"PK\x05\x06"
_TARGET = "pack the folder itself: `zip -r submission.zip FOLDER`"


def extract(path: Path, cache_dir: Path | None = None, limits: Limits | None = None) -> Path:
    """Return the submission's folder within ``path``, extracted to a cache folder named by the zip's SHA-256.

    Nothing is written before every entry has been judged. Pictures under ``results/`` stay packed. An archive
    that has been extracted already is not extracted again.

    Raises
    ------
    ArchiveError
        The file is no zip, or an entry would escape, collide, explode or be anything but a file or folder.
    """
    limits = limits or Limits()
    cache = cache_dir or default_cache()
    target = cache / _digest(path, limits)
    if not target.is_dir():
        with _open(path, limits) as archive:
            entries = _judge(archive, path, limits)
            _extract(archive, entries, target, path)
    return submission_folder(target)


def default_cache() -> Path:
    """Return where archives and single files are unpacked, in the folder of :func:`harness.data.cache.cache_root`."""
    from harness.data.cache import cache_root

    return cache_root() / "archives"


def _refuse(path: Path, reason: str, hint: str = _TARGET) -> ArchiveError:
    return ArchiveError(reason, where=str(path), hint=hint)


def _digest(path: Path, limits: Limits) -> str:
    try:
        size = path.stat().st_size
        if size > limits.file_bytes:
            raise _refuse(
                path, f"is {size // MIB} MiB, the limit is {limits.file_bytes // MIB} MiB", "leave out results/"
            )
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _refuse(path, f"cannot be read: {error.strerror}", "check the path") from error


def _open(path: Path, limits: Limits) -> zipfile.ZipFile:
    _check_index_size(path, limits)
    try:
        return zipfile.ZipFile(path)
    # The standard library's reader lets more than BadZipFile escape from a damaged index.
    except (zipfile.BadZipFile, ValueError, OverflowError, OSError, NotImplementedError, IndexError) as error:
        raise _refuse(path, f"is no intact zip file ({error})", "pack or copy it again") from error


def _check_index_size(path: Path, limits: Limits) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 65_557))
        tail = file.read()
    at = tail.rfind(_END_RECORD)
    if at < 0 or len(tail) < at + 22:
        raise _refuse(path, "is no intact zip file (its end record is missing)", "pack or copy it again")
    index = int.from_bytes(tail[at + 12 : at + 16], "little")
    if index > limits.index_bytes:
        raise _refuse(path, f"has an index of {index // MIB} MiB, the limit is {limits.index_bytes // MIB} MiB")


def _judge(archive: zipfile.ZipFile, path: Path, limits: Limits) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if not entries:
        raise _refuse(path, "is empty")
    if len(entries) > limits.entries:
        raise _refuse(path, f"holds {len(entries)} entries, the limit is {limits.entries}")
    total = sum(entry.file_size for entry in entries)
    if total > limits.total_bytes:
        raise _refuse(path, f"unpacks to {total // MIB} MiB, the limit is {limits.total_bytes // MIB} MiB")
    for entry in entries:
        for check in _CHECKS:
            if reason := check(entry, limits):
                raise _refuse(path, f"{_shown(entry)}: {reason}")
    if reason := _collision(entries):
        raise _refuse(path, reason, "rename one of the two")
    return entries


def _shown(entry: zipfile.ZipInfo) -> str:
    return ascii(entry.filename[:120])


def _bad_name(entry: zipfile.ZipInfo, _: Limits) -> str | None:
    name = entry.orig_filename
    parts = PurePosixPath(name).parts
    if "\0" in name or "\\" in name or not parts:
        return "has a name with a backslash, a NUL or nothing in it"
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "has an absolute path"
    if ".." in parts:
        return "would be written outside the folder (zip slip)"
    if len(name.encode(errors="replace")) > 1024 or any(len(part.encode(errors="replace")) > 255 for part in parts):
        return "has a name longer than a file system takes"
    return None


def _bad_kind(entry: zipfile.ZipInfo, _: Limits) -> str | None:
    if entry.header_offset < 0:
        return "lies before the beginning of the file"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device, pipe or socket"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    if entry.compress_type not in _METHODS:
        return "is packed by a method other than deflate"
    return None


def _bomb(entry: zipfile.ZipInfo, limits: Limits) -> str | None:
    if PurePosixPath(entry.filename).suffix.lower() in _NESTED:
        return "is an archive within the archive"
    if entry.file_size > limits.ratio_from and entry.file_size > limits.ratio * max(entry.compress_size, 1):
        ratio = entry.file_size // max(entry.compress_size, 1)
        return f"unpacks to {ratio} times its packed size, the limit is {limits.ratio} (a bomb?)"
    return None


_CHECKS: tuple[Callable[[zipfile.ZipInfo, Limits], str | None], ...] = (_bad_name, _bad_kind, _bomb)


def _collision(entries: Iterable[zipfile.ZipInfo]) -> str | None:
    """Return which two entries would land on one file, on any common file system."""
    spelling: dict[str, str] = {}
    files: set[str] = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        for folder in path.parents:
            known = spelling.setdefault(_key(folder), str(folder))
            if known != str(folder) or _key(folder) in files:
                return f"{str(folder)!a} and {known!a} are one file on some systems"
        known = spelling.setdefault(_key(path), str(path))
        if known != str(path):
            return f"{_shown(entry)} and {known!a} are one file on some systems"
        if not entry.is_dir():
            if _key(path) in files:
                return f"{_shown(entry)} is there twice"
            files.add(_key(path))
    folders = {_key(folder) for entry in entries for folder in PurePosixPath(entry.filename).parents}
    folders |= {_key(PurePosixPath(entry.filename)) for entry in entries if entry.is_dir()}
    both = sorted(files & folders)
    return f"{both[0]!a} is both a file and a folder" if both else None


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def _extract(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], target: Path, path: Path) -> None:
    temporary = _temporary_beside(target, path)
    try:
        for entry in entries:
            if not entry.is_dir() and not _skipped(entry):
                _write(archive, entry, temporary, path)
        _settle(temporary, target)
    except OSError as error:
        raise _refuse(path, f"cannot be unpacked: {error.strerror}", f"make room in {target.parent}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_beside(target: Path, path: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=target.parent, prefix=".extracting-"))
    except OSError as error:
        hint = f"make {target.parent} writable, or set XDG_CACHE_HOME"
        raise _refuse(path, f"cannot be unpacked: {error.strerror}", hint) from error


def _skipped(entry: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename).parts
    return "__MACOSX" in parts or "results" in parts[:2] or "__pycache__" in parts


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, path: Path) -> None:
    file = folder / entry.filename
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(entry) as source, file.open("xb") as sink:
            shutil.copyfileobj(source, sink, MIB)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise _refuse(path, f"{_shown(entry)}: is damaged ({error})", "pack or copy it again") from error


def _settle(temporary: Path, target: Path) -> None:
    temporary.chmod(0o755)
    try:
        temporary.rename(target)
    except OSError:
        # Another process has extracted the same bytes meanwhile: its copy is as good.
        if not target.is_dir():
            raise


def submission_folder(folder: Path) -> Path:
    """Return ``folder``, or the only folder in it where the submission was packed with its folder around it."""
    children = [child for child in folder.iterdir() if not child.name.startswith(".")]
    if len(children) == 1 and children[0].is_dir() and not children[0].is_symlink():
        return submission_folder(children[0])
    return folder
