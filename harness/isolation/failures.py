"""Describe exceptions from submitted code as plain text of bounded length.

Exception classes may be defined by submitted code: their ``__str__`` and ``__repr__`` may raise or return anything.
"""

from __future__ import annotations

import traceback

from harness.errors import HarnessError, WorkerError
from harness.isolation.requests import ErrorReply
from harness.text import printable

MAX_MESSAGE = 2000
MAX_TRACEBACK = 6000


def describe(error: BaseException, stage: str) -> ErrorReply:
    """Return the error reply for an exception.

    Parameters
    ----------
    error
        The exception that ended the request.
    stage
        Name of the request.
    """
    kind = error.kind if isinstance(error, WorkerError) else type(error).__name__
    own = isinstance(error, HarnessError)  # its message is complete; a traceback into the harness would not help
    return ErrorReply(
        stage=printable(stage, 100),
        type=printable(str(kind), 100),
        message=printable(_message(error), MAX_MESSAGE),
        traceback="" if own else printable(_traceback(error), MAX_TRACEBACK, keep_end=True),
    )


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the code called sys.exit({_safely(lambda: repr(error.code))})"
    if isinstance(error, MemoryError):
        return "out of memory"
    return _safely(lambda: str(error)) or type(error).__name__


def _traceback(error: BaseException) -> str:
    return _safely(lambda: "".join(traceback.format_exception(error, limit=-12)))


def _safely(text: object) -> str:
    """Return the result of calling `text`, or a note if it raises, because it may run submitted code."""
    try:
        assert callable(text)
        return str(text())
    except BaseException as failure:  # noqa: BLE001
        return f"(its description raises {type(failure).__name__})"
