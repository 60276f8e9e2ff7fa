"""Standard output and standard error that are closed, full, or of an encoding that lacks some characters."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path

# Mostly one character for one, which keeps the columns of tables aligned.
_PLAIN = {
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{HORIZONTAL ELLIPSIS}": ".",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{RIGHTWARDS ARROW}": ">",
    "\N{GREEK CAPITAL LETTER DELTA}": "d",
    "\N{MICRO SIGN}": "u",
    "\N{PLUS-MINUS SIGN}": "+-",
}
_HANDLER = "harness_plain"
# Errors of a full disk and of a broken or closed device; a pipe without a reader is no failure.
_FAILURES = {errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG}


def replace_what_cannot_be_encoded() -> None:
    """Let both streams print plain forms of the harness's own signs, and escapes of other characters they lack."""
    codecs.register_error(_HANDLER, _plain)
    for stream in (sys.stdout, sys.stderr):
        # A stream whose errors were set by the user, such as "replace", is left alone.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in {
            "strict",
            "surrogateescape",
            "backslashreplace",
        }:
            stream.reconfigure(errors=_HANDLER)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    wanted = error.object[error.start : error.end]
    # Surrogates are bytes of file names that are no text; they are escaped as well.
    text = "".join(_PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in wanted)
    return text, error.end


def open_missing() -> bool:
    """Replace closed streams by the null device; return whether standard output was closed."""
    closed = sys.stdout is None
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for the whole process
    return closed


def is_output_failure(error: OSError) -> bool:
    """Return whether an error is of writing to a stream, not of a named file."""
    return error.errno in _FAILURES and error.filename is None


def give_up_output() -> None:
    """Let what is still buffered for the streams vanish, so that the end of the process does not fail as well."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError, AttributeError):
                null = os.open(os.devnull, os.O_WRONLY)
                # The interpreter flushes once more at exit, then to the null device.
                os.dup2(null, stream.fileno())
                os.close(null)
