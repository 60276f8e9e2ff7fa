"""A downloader for pooch that resumes interrupted downloads. pooch verifies the checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.machine.cache_folder import cache_root

Progress = Callable[[int, int], None]
"""Called with the received and the total number of bytes; the total is 0 if the server does not report it."""

# For the connection, and for each wait for data.
_TIMEOUT_S = 30.0
_PARTIAL = 206  # the server honours the Range header; any other success status means the whole file


def resuming_downloader(progress: Progress | None = None, chunk: int = 2**18) -> Callable[[str, str, Any], None]:
    """Return a downloader for ``pooch.retrieve`` that resumes interrupted downloads.

    Parameters
    ----------
    progress
        Called after every chunk.
    chunk
        Bytes to receive at a time.
    """

    def download(url: str, output_file: str, _pooch: Any) -> None:
        # pooch passes a new temporary file each time. A name derived from the URL lets the next attempt find the part.
        part = cache_root() / "archives" / f".{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        _receive(url, part, progress or (lambda _here, _total: None), chunk)
        # pooch creates `output_file` in the same folder, hence on the same file system.
        part.replace(output_file)

    return download


def _receive(url: str, part: Path, progress: Progress, size: int) -> None:
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            # raise_for_status() then ends this attempt, and the next one starts from the first byte.
            part.unlink()  # the partial file is at least as long as the server's, so it cannot be a prefix of it
        response.raise_for_status()
        here = have if response.status_code == _PARTIAL else 0
        # With a range, Content-Length is the length of the rest. Without the header, the default makes the total 0.
        total = here + int(response.headers.get("Content-Length", -here))
        with part.open("ab" if here else "wb") as stream:
            for chunk in response.iter_content(size):
                stream.write(chunk)
                here += len(chunk)
                progress(here, total)
