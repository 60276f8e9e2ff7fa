"""Serve a folder of reports on the loopback interface: static files, and a list of runs that updates itself."""

import errno
import json
import stat
import sys
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from harness import __version__
from harness.errors import HarnessError, UsageError
from harness.report.compare import comparison_page
from harness.report.runs import list_runs
from harness.report.site import page
from harness.results.comparison import RunComparison
from harness.results.reading import reading
from harness.results.run_folder import RunFolder, load_run
from harness.suggestions import choice
from harness.text import printable, single_line

LOOPBACK = "127.0.0.1"
SCRIPTS = ("theme.js", "runs.js")
Compare = Callable[[RunFolder, RunFolder], RunComparison]

_LOGGED_CHARACTERS = 300
# Ordinary refusals, which would fill the terminal.
_NOT_LOGGED = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


def make_server(root: Path, port: int = 8321, compare: Compare | None = None) -> ThreadingHTTPServer:
    """Return a server of a folder of reports; its ``serve_forever`` serves until it is interrupted.

    It listens on the loopback interface only and answers GET and HEAD only. It serves no file outside ``root`` and no
    hidden file, and refuses requests whose Host header names another machine.

    Parameters
    ----------
    root
        Folder that holds runs.
    port
        Port, or 0 for a free one.
    compare
        Compares two runs; without it the list offers no comparison.

    Raises
    ------
    UsageError
        The folder does not exist, or the port is taken.
    """
    if not root.is_dir():
        raise UsageError("there is no such folder", where=str(root), hint="name the folder that holds the runs")
    try:
        # `partial`, because the server itself makes a handler for each request.
        return ReportServer((LOOPBACK, port), partial(ReportHandler, compare, directory=str(root.resolve())))
    except OSError as error:
        raise UsageError(f"port {port} cannot be used ({error.strerror})", hint="choose another with --port") from error


def runs_page(root: Path, *, compares: bool = False, problem: str = "") -> str:
    """Return the list of runs as HTML.

    Parameters
    ----------
    root
        Folder that holds runs.
    compares
        Whether the page offers comparisons.
    problem
        What went wrong with a comparison.
    """
    runs = list_runs(root)
    comparable = [run for run in runs if run.can_be_compared] if compares else []
    return page("runs.html", SCRIPTS, runs=runs, comparable=comparable, problem=problem, version=__version__)


def served_comparison(root: Path, before: str, after: str, compare: Compare) -> str:
    """Return the comparison of two runs in a folder as HTML.

    Raises
    ------
    UsageError
        There is no such run, it has no results yet, or both are the same.
    ResultsError
        The results of a run are damaged.
    """
    # Names are compared with those of existing folders, so that none can lead out of the root.
    known = {run.folder for run in list_runs(root) if run.can_be_compared}
    for name in (before, after):
        if name not in known:
            raise UsageError(f"there is no finished run {name!r}", hint=choice(name, sorted(known)))
    if before == after:
        raise UsageError("a run does not differ from itself", hint="choose two runs")
    with reading(root / after, "the runs cannot be compared"):
        comparison = compare(load_run(root / before), load_run(root / after))
    links = [(f"{quote(name)}/leaderboard.html", name) for name in (before, after)]
    existing = [(link, name) for link, name in links if (root / name / "leaderboard.html").is_file()]
    return comparison_page(comparison, [("./", "Runs"), *existing])


class ReportServer(ThreadingHTTPServer):
    """Server that reports a failed request in one line, whatever the request was."""

    def handle_error(self, *_request: Any) -> None:
        """Write one line about the exception of a request; a client that closed the connection is not an error."""
        error = sys.exception()
        if not isinstance(error, OSError):
            _log(f"a request failed: {type(error).__name__}: {error}")


class ReportHandler(SimpleHTTPRequestHandler):
    """Handler of one request."""

    server_version = "sr-harness"
    # The header Server does not state the version of Python.
    sys_version = ""
    default_request_version = "HTTP/1.0"  # the answer to a request that cannot be parsed has a status line too
    timeout = 30.0  # seconds without a byte, after which a connection is closed

    def __init__(self, compare: Compare | None, *args: Any, **kwargs: Any) -> None:
        self._compare = compare
        super().__init__(*args, **kwargs)  # it answers the request

    _is_logged = True
    # Without a stated encoding, browsers guess that of text files.
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".log": "text/plain; charset=utf-8",
        ".csv": "text/csv; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".webp": "image/webp",
    }

    def handle_one_request(self) -> None:
        """Answer one request, with an error status if anything fails."""
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):  # the client went away
            self.close_connection = True
        except Exception as error:  # noqa: BLE001  (a list that cannot be made, or a request that nobody foresaw)
            self.close_connection = True
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, _line(f"{type(error).__name__}: {error}"))

    def do_GET(self) -> None:
        """Answer with a file, or with the list of runs."""
        if not self._is_local_request():
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path.split("?")[0] == "/":
            self._answer("text/html", runs_page(Path(self.directory), compares=self._compare is not None))
        elif self._compare is not None and self.path.split("?")[0] == "/compare":
            self._answer_comparison(self._compare)
        elif self.path == "/favicon.ico":  # browsers ask for it, and report a missing one as an error of the page
            self._answer("image/x-icon", "", HTTPStatus.NO_CONTENT)
        elif self.path == "/runs.json":
            runs = [one.record() for one in list_runs(Path(self.directory))]
            self._answer("application/json", json.dumps(runs))
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        """Answer with a file's headers."""
        if self._is_local_request():
            super().do_HEAD()
        else:
            self.send_error(HTTPStatus.FORBIDDEN)

    def send_head(self) -> Any:
        """Open a file for the answer, unless it is hidden, lies outside the folder or is not a plain file."""
        try:
            found = self._is_served(Path(self.translate_path(self.path)))
        except (OSError, ValueError) as error:
            # Names with a null byte or that are too long cannot exist; everything else is an ordinary missing file.
            invalid = isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG
            status = HTTPStatus.BAD_REQUEST if invalid else HTTPStatus.NOT_FOUND
            self.send_error(status)
            return None
        if not found:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def _is_served(self, path: Path) -> bool:
        """Return whether a path is a plain file in the folder; a named pipe would keep the thread that opens it."""
        is_file = stat.S_ISREG(path.stat().st_mode)
        root = Path(self.directory)
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        # Resolved, so that a link inside the folder cannot serve a file outside of it.
        return is_file and not hidden and path.resolve().is_relative_to(root)

    def end_headers(self) -> None:
        """Disable caching, content sniffing and the referrer."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing about an answered request, because a page that polls would fill the terminal."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with an error status, and log it unless it is an ordinary refusal."""
        self._is_logged = code not in _NOT_LOGGED
        super().send_error(code, message, explain)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name in the base)
        """Write one line about a request that failed."""
        if self._is_logged:
            request = getattr(self, "requestline", "")  # missing if the request could not be read
            _log(f"{format % args}: {request}")

    def _is_local_request(self) -> bool:
        """Return whether the Host header names this machine. A foreign name there is a DNS rebinding attack."""
        name = self.headers.get("Host", "").rsplit(":", 1)[0]
        return name in {LOOPBACK, "localhost"}

    def _answer_comparison(self, compare: Compare) -> None:
        """Answer with the comparison of two runs, or with the list of runs and what is wrong."""
        root, query = Path(self.directory), parse_qs(urlsplit(self.path).query)
        before, after = (query.get(key, [""])[0] for key in ("before", "after"))
        try:
            self._answer("text/html", served_comparison(root, before, after, compare))
        except HarnessError as error:
            status = HTTPStatus.NOT_FOUND if isinstance(error, UsageError) else HTTPStatus.INTERNAL_SERVER_ERROR
            text = single_line(str(error), _LOGGED_CHARACTERS)
            self._answer("text/html", runs_page(root, compares=True, problem=text), status)

    def _answer(self, kind: str, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        content = text.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _log(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{_line(text)}\n")


def _line(text: str) -> str:
    """Return text of a request or a message about it as one line of printable ASCII characters."""
    line = printable(" ".join(text.split()), _LOGGED_CHARACTERS)
    return line.encode("ascii", "backslashreplace").decode()
