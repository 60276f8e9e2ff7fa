"""Extract untrusted zip files: all entries are validated from the index before the first one is extracted."""

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
    """Size limits of an archive. The defaults suffice for a real-time network with its sample results at 4K."""

    file_bytes: int = 2048 * MIB
    """Size of the zip file."""
    total_bytes: int = 4096 * MIB
    """Total uncompressed size of all entries."""
    entries: int = 10_000
    """Number of entries."""
    index_bytes: int = 8 * MIB
    """Size of the zip's index (central directory), which ``zipfile`` reads into memory as a whole."""
    ratio: int = 200
    """Compression ratio of an entry. Deflate cannot exceed 1032."""
    ratio_from: int = MIB
    """Entries with a smaller uncompressed size are exempt from ``ratio``."""


_NESTED = {".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz", ".zst"}
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_END_RECORD = b"PK\x05\x06"  # signature of the end of central directory record
_TARGET = "pack the folder itself: `zip -r submission.zip FOLDER`"


def extract(path: Path, cache_dir: Path | None = None, limits: Limits | None = None) -> Path:
    """Extract the zip file ``path`` to a cache folder named by its SHA-256 and return the submission's folder in it.

    Nothing is written before all entries have been validated. Images under ``results/`` are not extracted. If the
    cache already contains the archive, it is not extracted again.

    Parameters
    ----------
    path
        Zip file.
    cache_dir
        Folder to extract to; :func:`default_cache` by default.
    limits
        Size limits.

    Raises
    ------
    ArchiveError
        The file is not a zip file or exceeds the limits, or an entry would be written outside of the folder, collides
        with another one, is encrypted, or is neither a file nor a folder.
    """
    limits = limits or Limits()
    cache = cache_dir or default_cache()
    target = cache / _digest(path, limits)
    if not target.is_dir():  # it appears by a rename, so that an existing folder is complete
        with _open(path, limits) as archive:
            entries = _validated_entries(archive, path, limits)
            _extract(archive, entries, target, path)
    return submission_folder(target)


def default_cache() -> Path:
    """Return the folder for extracted archives and single files, inside :func:`harness.data.cache.cache_root`."""
    from harness.data.cache import cache_root

    return cache_root() / "archives"


def _error(path: Path, reason: str, hint: str = _TARGET) -> ArchiveError:
    return ArchiveError(reason, where=str(path), hint=hint)


def _digest(path: Path, limits: Limits) -> str:
    try:
        size = path.stat().st_size
        if size > limits.file_bytes:
            raise _error(
                path, f"is {size // MIB} MiB, the limit is {limits.file_bytes // MIB} MiB", "leave out results/"
            )
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}", "check the path") from error


def _open(path: Path, limits: Limits) -> zipfile.ZipFile:
    _check_index_size(path, limits)
    try:
        return zipfile.ZipFile(path)
    # For a damaged index, zipfile raises more than BadZipFile.
    except (zipfile.BadZipFile, ValueError, OverflowError, OSError, NotImplementedError, IndexError) as error:
        raise _error(path, f"is not an intact zip file ({error})", "pack or copy it again") from error


def _check_index_size(path: Path, limits: Limits) -> None:
    """Check the size of the index before ``zipfile`` parses it, because that would allocate memory for all of it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        # The end record has 22 bytes and is followed by a comment of at most 65535 bytes.
        file.seek(max(0, size - 65_557))
        tail = file.read()
    at = tail.rfind(_END_RECORD)
    if at < 0 or len(tail) < at + 22:
        raise _error(path, "is not an intact zip file (its end record is missing)", "pack or copy it again")
    index = int.from_bytes(tail[at + 12 : at + 16], "little")
    if index > limits.index_bytes:
        raise _error(path, f"has an index of {index // MIB} MiB, the limit is {limits.index_bytes // MIB} MiB")


def _validated_entries(archive: zipfile.ZipFile, path: Path, limits: Limits) -> list[zipfile.ZipInfo]:
    """Return all entries of the archive; raises ArchiveError if any of them is unsafe."""
    entries = archive.infolist()
    if not entries:
        raise _error(path, "is empty")
    if len(entries) > limits.entries:
        raise _error(path, f"holds {len(entries)} entries, the limit is {limits.entries}")
    total = sum(entry.file_size for entry in entries)
    if total > limits.total_bytes:
        raise _error(path, f"unpacks to {total // MIB} MiB, the limit is {limits.total_bytes // MIB} MiB")
    for entry in entries:
        for check in _CHECKS:
            if reason := check(entry, limits):
                raise _error(path, f"{_display_name(entry)}: {reason}")
    if reason := _collision(entries):
        raise _error(path, reason, "rename one of the two")
    return entries


def _display_name(entry: zipfile.ZipInfo) -> str:
    return ascii(entry.filename[:120])  # escapes control characters


def _bad_name(entry: zipfile.ZipInfo, _: Limits) -> str | None:
    name = entry.orig_filename  # zipfile cuts `filename` at a NUL and replaces backslashes on Windows
    parts = PurePosixPath(name).parts
    if "\0" in name or "\\" in name or not parts:
        return "has an empty name, or a backslash or NUL in its name"
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):  # C:...
        return "has an absolute path"
    if ".." in parts:
        return "would be extracted outside of the folder (zip slip)"
    if len(name.encode(errors="replace")) > 1024 or any(len(part.encode(errors="replace")) > 255 for part in parts):
        return "has a name that is too long for the file system"
    return None


def _bad_kind(entry: zipfile.ZipInfo, _: Limits) -> str | None:
    if entry.header_offset < 0:
        return "has a negative offset in the file"
    kind = stat.S_IFMT(entry.external_attr >> 16)  # the Unix mode is in the upper half
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device, pipe or socket"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    if entry.compress_type not in _METHODS:
        return "is compressed by a method other than deflate"
    return None


def _bomb(entry: zipfile.ZipInfo, limits: Limits) -> str | None:
    """Reject nested archives, which could be unpacked recursively, and implausible compression ratios."""
    if PurePosixPath(entry.filename).suffix.lower() in _NESTED:
        return "is an archive within the archive"
    if entry.file_size > limits.ratio_from and entry.file_size > limits.ratio * max(entry.compress_size, 1):
        ratio = entry.file_size // max(entry.compress_size, 1)
        return f"has a compression ratio of {ratio}, the limit is {limits.ratio} (zip bomb)"
    return None


_CHECKS: tuple[Callable[[zipfile.ZipInfo, Limits], str | None], ...] = (_bad_name, _bad_kind, _bomb)


def _collision(entries: Iterable[zipfile.ZipInfo]) -> str | None:
    """Return a description of two entries that would be extracted to the same file, or None if there are none.

    Names are compared as by file systems that ignore case (Windows, macOS) and Unicode normalization (macOS), so that
    an archive that is valid here is valid everywhere.
    """
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
            return f"{_display_name(entry)} and {known!a} are one file on some systems"
        if not entry.is_dir():
            if _key(path) in files:
                return f"{_display_name(entry)} is there twice"
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
        _publish(temporary, target)
    except OSError as error:
        raise _error(path, f"cannot be unpacked: {error.strerror}", f"make room in {target.parent}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_beside(target: Path, path: Path) -> Path:
    # In the same folder as the target, so that the final rename is atomic.
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=target.parent, prefix=".extracting-"))
    except OSError as error:
        hint = f"make {target.parent} writable, or set HARNESS_CACHE_DIR to another folder"
        raise _error(path, f"cannot be unpacked: {error.strerror}", hint) from error


def _skipped(entry: zipfile.ZipInfo) -> bool:
    # Sample outputs of the challenge layout are large and unused; the others are by-products of packing.
    parts = PurePosixPath(entry.filename).parts
    return "__MACOSX" in parts or "results" in parts[:2] or "__pycache__" in parts


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, path: Path) -> None:
    file = folder / entry.filename
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Mode "x" fails instead of overwriting a file, as a second line of defence against colliding names.
        with archive.open(entry) as source, file.open("xb") as sink:
            shutil.copyfileobj(source, sink, MIB)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise _error(path, f"{_display_name(entry)}: is damaged ({error})", "pack or copy it again") from error


def _publish(temporary: Path, target: Path) -> None:
    temporary.chmod(0o755)  # mkdtemp creates it with 0700
    try:
        temporary.rename(target)
    except OSError:
        # Another process has extracted the same archive in the meantime; its copy is identical.
        if not target.is_dir():
            raise


def submission_folder(folder: Path) -> Path:
    """Return ``folder``, or its only subfolder (recursively) if the archive wraps the submission in folders."""
    children = [child for child in folder.iterdir() if not child.name.startswith(".")]
    if len(children) == 1 and children[0].is_dir() and not children[0].is_symlink():
        return submission_folder(children[0])
    return folder
