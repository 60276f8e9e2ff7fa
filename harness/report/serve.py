"""Serve a folder of reports on the loopback interface: static files, and a list of runs that updates itself."""

import json
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from harness import __version__
from harness.errors import UsageError
from harness.report.runs import list_runs
from harness.report.site import page

LOOPBACK = "127.0.0.1"
SCRIPTS = ("theme.js", "runs.js")


def make_server(root: Path, port: int = 8321) -> ThreadingHTTPServer:
    """Return a server of a folder of reports; its ``serve_forever`` serves until it is interrupted.

    It listens on the loopback interface only and answers GET and HEAD only. It serves no file outside ``root`` and no
    hidden file, and refuses requests whose Host header names another machine.

    Parameters
    ----------
    root
        Folder that holds runs.
    port
        Port, or 0 for a free one.

    Raises
    ------
    UsageError
        The folder does not exist, or the port is taken.
    """
    if not root.is_dir():
        raise UsageError("there is no such folder", where=str(root), hint="name the folder that holds the runs")
    try:
        return ThreadingHTTPServer((LOOPBACK, port), partial(ReportHandler, directory=str(root.resolve())))
    except OSError as error:
        raise UsageError(f"port {port} cannot be used ({error.strerror})", hint="choose another with --port") from error


def runs_page(root: Path) -> str:
    """Return the list of runs as HTML."""
    return page("runs.html", SCRIPTS, runs=list_runs(root), version=__version__)


class ReportHandler(SimpleHTTPRequestHandler):
    """Handler of one request."""

    server_version = "sr-harness"
    sys_version = ""
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".log": "text/plain; charset=utf-8",
        ".csv": "text/csv; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".webp": "image/webp",
    }

    def do_GET(self) -> None:
        """Answer with a file, or with the list of runs."""
        if not self._is_local_request():
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path.split("?")[0] == "/":
            self._answer("text/html", runs_page(Path(self.directory)))
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
        """Open a file for the answer, unless it is hidden or lies outside the folder."""
        path = Path(self.translate_path(self.path))
        root = Path(self.directory)
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if hidden or path.is_dir() or not path.resolve().is_relative_to(root):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def end_headers(self) -> None:
        """Forbid caches to keep and browsers to guess."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name in the base)
        """Write nothing, because a page that polls would fill the terminal."""

    def _is_local_request(self) -> bool:
        """Return whether the Host header names this machine. A foreign name there is a DNS rebinding attack."""
        name = self.headers.get("Host", "").rsplit(":", 1)[0]
        return name in {LOOPBACK, "localhost"}

    def _answer(self, kind: str, text: str) -> None:
        content = text.encode("utf-8")
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
