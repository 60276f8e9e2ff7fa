"""Build the pages of a run only if something has changed since they were built."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import harness
from harness.errors import ResultsError
from harness.files import write_atomically

PAGE = "leaderboard.html"

# In the run's folder: the state of all other files when its pages had been built. Its name is hidden, and such files
# are no part of the state.
_STATE_FILE = ".pages"
_PACKAGE = Path(harness.__file__).parent
_SOURCES = (".py", ".html", ".js", ".css")
# What else pages are made with.
_LIBRARIES = ("contourpy", "jinja2", "markupsafe", "matplotlib", "numpy", "pandas", "pillow", "scipy")


def rebuild_report(run_dir: Path) -> Path:
    """Return the leaderboard of a run; build it, and the pages of all models, unless that would change nothing.

    Pages are built if a file of the run's folder, one of the pages included, the code of this package or a library is
    another one than when they were built the last time.

    Parameters
    ----------
    run_dir
        A run's folder, as for :func:`harness.report.page.build_report`.

    Raises
    ------
    ResultsError
        As by that function.
    """
    state_file, state = run_dir / _STATE_FILE, _state_of(run_dir)
    if state and _text(state_file) == state and (run_dir / PAGE).is_file():
        return run_dir / PAGE
    # Imported here, because matplotlib and the templates take longer than the rest of a run that measures nothing.
    from harness.report.page import build_report

    page = build_report(run_dir)
    with suppress(OSError, ResultsError):  # without the state, pages are built again
        write_atomically(state_file, _state_of(run_dir).encode(), sync=False)
    return page


@cache
def loaded_code() -> str:
    """Return a hash of the code that makes pages. It is that of the first call, which comes when modules are loaded."""
    return _code()


def _state_of(run_dir: Path) -> str:
    """Return a hash of the files in a run's folder, by name, size and time, and of what makes pages of them.

    It is empty if that is unknown: a file cannot be looked at, or the code on disk is not what this process executes.
    """
    code = _code()
    if code != loaded_code():
        return ""
    # A file that is written again with the same content keeps its time, see `write_atomically`.
    digest = hashlib.sha256(code.encode())
    try:
        for path in sorted(_visible_files(run_dir)):
            found, name = path.stat(), path.relative_to(run_dir)
            digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode(errors="surrogateescape"))
    except OSError:
        return ""
    return digest.hexdigest()


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _visible_files(path)
        else:
            yield path


def _code() -> str:
    """Return a hash of this package's sources, and the versions of the libraries."""
    digest = hashlib.sha256()
    for path in sorted(path for path in _PACKAGE.rglob("*") if path.suffix in _SOURCES):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode())
        digest.update(path.read_bytes())
    return " ".join([digest.hexdigest(), *map(_version, _LIBRARIES)])


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # installed under another name
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
