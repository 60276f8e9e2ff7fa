"""Standard output and standard error that may close during a run, and signals that end one."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:  # it imports what most commands do not need
    from harness.run.progress import ProgressEvent

# Errors of a full disk: unlike those of a reader that has gone, they are reported.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ENDING_SIGNALS = ("SIGTERM", "SIGHUP")


class Output:
    """Writes to a standard stream until nobody reads it any more; later text is discarded.

    A pipe closes when its reader has ended, as in ``harness run | head``, a terminal when its window is closed.

    Parameters
    ----------
    name
        ``stdout`` or ``stderr``. The stream is looked up at each write, because it may be replaced.

    Attributes
    ----------
    is_closed
        Whether a write failed because the reader has gone.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_closed = False

    def write(self, text: str) -> int:
        """Write text, or discard it; return its length."""
        stream = self._stream()
        if stream is not None and not self.is_closed:
            try:
                stream.write(text)
            except OSError as error:
                self._end(error)
        # The length also of what was discarded: writers rely on it.
        return len(text)

    def flush(self) -> None:
        """Pass on what is buffered, or discard it."""
        stream = self._stream()
        if stream is not None and not self.is_closed:
            try:
                stream.flush()
            except OSError as error:
                self._end(error)

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        stream = self._stream()
        return stream is not None and stream.isatty()

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("rich_"):  # rich would take what a live display wraps, and bypass this object
            raise AttributeError(attribute)
        return getattr(self._stream(), attribute)

    def _stream(self) -> TextIO | None:
        """Return the stream, which is None if the process was started without one."""
        stream: TextIO | None = getattr(sys, self._name)
        return getattr(stream, "rich_proxied_file", stream)  # while a live display is drawn, it wraps the stream

    def _end(self, error: OSError) -> None:
        """Discard the rest if nobody reads it; raise the error of a full disk."""
        if error.errno in _FULL:
            raise error
        self.discard()

    def discard(self) -> None:
        """Discard what comes from now on, including what the interpreter flushes when it exits."""
        self.is_closed = True
        stream = self._stream()
        if stream is not None:
            with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
                # The descriptor itself is redirected, because the interpreter flushes its buffer to it at exit.
                os.dup2(nowhere.fileno(), stream.fileno())


class StopWithoutReader:
    """Listener that ends a run, as Ctrl-C does, once its output has lost its reader.

    Parameters
    ----------
    outputs
        Where the run is shown.
    """

    def __init__(self, *outputs: Output) -> None:
        self._outputs = outputs
        self._has_stopped = False

    def __call__(self, event: ProgressEvent) -> None:
        """Raise KeyboardInterrupt at the first event after an output was closed; never a second time."""
        del event
        if not self._has_stopped and any(output.is_closed for output in self._outputs):
            self._has_stopped = True
            raise KeyboardInterrupt


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, with everything saved.

    SIGHUP comes when the terminal is closed. It stays ignored under ``nohup``.
    """
    for name in _ENDING_SIGNALS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Interrupt once. A closed terminal sends several signals, and the second must not interrupt the saving."""
    for name in _ENDING_SIGNALS:
        if hasattr(signal, name):
            # Ctrl-C keeps its effect.
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise KeyboardInterrupt
