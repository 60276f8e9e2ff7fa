"""Extract untrusted zip files: all entries are validated from the index before the first one is extracted."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import ArchiveError, SubmissionError
from harness.machine.cache_folder import cache_root
from harness.plain_files import MIB, Deadline, digest_file, open_plain


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
    depth: int = 32
    """Number of folders in the path of an entry."""
    name_bytes: int = 2 * MIB
    """Total length of the names of all entries."""
    folders: int = 10_000
    """Number of folders that the entries need."""
    ratio: int = 200
    """Compression ratio of an entry. Deflate cannot exceed 1032."""
    ratio_from: int = MIB
    """Entries with a smaller uncompressed size are exempt from ``ratio``."""


# Suffixes of files that may expand further when they are extracted.
_NESTED = {".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz", ".zst"}
# The methods that common programs use. zipfile knows further ones.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_TAIL_BYTES = 65_557  # end record and its comment
_CHUNK_BYTES = 8 * MIB
_MAX_WRAPPERS = 32
_TARGET = "pack the folder itself: `zip -r submission.zip FOLDER`"


def extract(
    path: Path, cache_dir: Path | None = None, limits: Limits | None = None, deadline: Deadline | None = None
) -> Path:
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
    deadline
        Time limit for hashing and extracting.

    Raises
    ------
    ArchiveError
        The file is not a zip file or exceeds the limits, or an entry would be written outside of the folder, collides
        with another one, is encrypted, or is neither a file nor a folder.
    """
    limits, deadline = limits or Limits(), deadline or Deadline()
    cache = cache_dir or default_cache()
    target = cache / _digest(path, limits, deadline)
    if not target.is_dir():  # it appears by a rename, so that an existing folder is complete
        with _index_reader(path, limits) as file, _open(file, path) as archive:
            entries = _validated_entries(archive, path, limits)
            _extract(archive, entries, target, path, deadline)
    try:
        return submission_folder(target)
    except SubmissionError as error:
        raise _error(path, error.what) from error


def default_cache() -> Path:
    """Return the folder for extracted archives and single files, inside of the cache folder."""
    return cache_root() / "archives"


def _error(path: Path, reason: str, hint: str = _TARGET) -> ArchiveError:
    return ArchiveError(reason, where=str(path), hint=hint)


def _digest(path: Path, limits: Limits, deadline: Deadline) -> str:
    try:
        digest, _ = digest_file(path, deadline, limit_bytes=limits.file_bytes)
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}", "check the path") from error
    except SubmissionError as error:
        raise _error(path, error.what, "leave out results/") from error
    return digest.hex()


class _IndexReader(io.BufferedReader):
    """A file of which ``zipfile`` cannot read an index that is too large.

    ``zipfile`` reads the index as a whole. Its size is stated in several places of the file, which may disagree.
    """

    path = Path()
    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes, without it a comment at the end; raise ArchiveError if the index is too large."""
        if size is None or size < 0:
            size = _TAIL_BYTES
        elif size > self.most:
            raise _error(self.path, f"has an index of {size // MIB} MiB, the limit is {self.most // MIB} MiB")
        return super().read(size)


def _index_reader(path: Path, limits: Limits) -> _IndexReader:
    try:
        # detach() returns the unbuffered file, on which this reader builds its own buffer.
        reader = _IndexReader(open_plain(path).detach())
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}", "check the path") from error
    reader.path, reader.most = path, limits.index_bytes
    return reader


def _open(file: _IndexReader, path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(file)
        file.most = _CHUNK_BYTES  # an entry is read in parts
        return archive
    # For a damaged index, zipfile raises more than BadZipFile.
    except (zipfile.BadZipFile, ValueError, OverflowError, OSError, NotImplementedError, IndexError) as error:
        raise _error(path, f"is not an intact zip file ({error})", "pack or copy it again") from error


def _validated_entries(archive: zipfile.ZipFile, path: Path, limits: Limits) -> list[zipfile.ZipInfo]:
    """Return all entries of the archive; raises ArchiveError if any of them is unsafe."""
    entries = archive.infolist()
    if not entries:
        raise _error(path, "is empty")
    if len(entries) > limits.entries:
        raise _error(path, f"holds {len(entries)} entries, the limit is {limits.entries}")
    names = sum(len(entry.orig_filename) for entry in entries)
    if names > limits.name_bytes:
        raise _error(path, f"has names of {names // MIB} MiB in all, the limit is {limits.name_bytes // MIB} MiB")
    total = sum(entry.file_size for entry in entries)
    if total > limits.total_bytes:
        raise _error(path, f"unpacks to {total // MIB} MiB, the limit is {limits.total_bytes // MIB} MiB")
    for entry in entries:
        for check in _CHECKS:
            if reason := check(entry, limits):
                raise _error(path, f"{_display_name(entry)}: {reason}")
    if len(_folders(entries)) > limits.folders:
        raise _error(path, f"needs more than {limits.folders} folders")
    if reason := _collision(entries):
        raise _error(path, reason, "rename one of the two")
    return entries


def _folders(entries: Iterable[zipfile.ZipInfo]) -> set[PurePosixPath]:
    return {folder for entry in entries for folder in PurePosixPath(entry.filename).parents}


def _display_name(entry: zipfile.ZipInfo) -> str:
    return ascii(entry.filename[:120])  # escapes control characters


def _bad_name(entry: zipfile.ZipInfo, limits: Limits) -> str | None:
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
    if len(parts) > limits.depth:
        return f"lies more than {limits.depth} folders deep"
    return None


def _bad_kind(entry: zipfile.ZipInfo, _: Limits) -> str | None:
    if entry.header_offset < 0:
        return "has a negative offset in the file"
    kind = stat.S_IFMT(entry.external_attr >> 16)  # the Unix mode is in the upper half
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    # 0: packed by a program that stores no Unix modes, such as that of Windows.
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
            # The first spelling of a path is remembered; another one with the same key is a collision.
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
    folders = set(map(_key, _folders(entries)))
    folders |= {_key(PurePosixPath(entry.filename)) for entry in entries if entry.is_dir()}
    both = sorted(files & folders)
    return f"{both[0]!a} is both a file and a folder" if both else None


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def _extract(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], target: Path, path: Path, deadline: Deadline
) -> None:
    temporary = _temporary_beside(target, path)
    try:
        for entry in entries:
            if not entry.is_dir() and not _skipped(entry):
                deadline.check(path)
                _write(archive, entry, temporary, path)
        _publish(temporary, target)
    except OSError as error:
        raise _error(path, f"cannot be unpacked: {error.strerror}", f"make room in {target.parent}") from error
    finally:
        # After a successful rename, there is nothing left to delete.
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
    """Return ``folder``, or the innermost of folders that contain nothing but the next one.

    Raises
    ------
    SubmissionError
        The submission is wrapped in too many folders.
    OSError
        A folder cannot be read.
    """
    for _ in range(_MAX_WRAPPERS):
        inner = _only_child(folder)
        if inner is None:
            return folder
        folder = inner
    raise SubmissionError(
        f"is wrapped in more than {_MAX_WRAPPERS} folders", where=str(folder)[:500], hint="move it to the top"
    )


def _only_child(folder: Path) -> Path | None:
    """Return the only folder in a folder that contains nothing else; hidden files do not count."""
    only = None
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if only is not None or entry.is_symlink() or not entry.is_dir():
                return None
            only = folder / entry.name
    return only
