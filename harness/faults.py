"""Tell a fault in handling one submission from a fault of the run, and describe the former for its row.

Whatever a submission is or does ends as its own row. An exception that the controller did not expect while it handled
data of one submission is therefore described as the failure of that submission. An exception that concerns no
submission, such as a full disk or an output folder that was removed, ends the run.
"""

from __future__ import annotations

import errno
import traceback

from harness.errors import DataError, HarnessError, ResultsError, SubmissionError, UsageError, WorkerError
from harness.text import printable, single_line

# Attribute that marks an exception, whatever its class is.
_OF_THE_RUN = "_concerns_the_run"
# Full or read-only disks and too many open files: causes that every further submission would meet as well.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})
_MAX_MESSAGE = 500
# Characters; the log of a row has a limit.
_MAX_TRACEBACK = 6000
_FRAMES = 12
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (RecursionError, "it is nested too deeply"),
    (MemoryError, "it needs more memory than there is"),
    (UnicodeError, "it contains text that cannot be encoded"),
)
_HINT = "its log has the traceback; send it to the developers of the harness if the submission is a valid one"


class HandlingError(SubmissionError):
    """The controller failed in an unexpected way while it handled data of one submission.

    Attributes
    ----------
    kind
        Class of the exception, which becomes the type of the row's error.
    log
        The traceback, for the developers of the harness.
    """

    def __init__(self, what: str, *, kind: str, log: str, where: str | None = None) -> None:
        super().__init__(what, where=where, hint=_HINT)
        self.kind = kind
        self.log = log


def concerns_the_run(error: BaseException) -> bool:
    """Return whether an exception ends the run, because no submission is at fault."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    is_known = isinstance(error, UsageError | DataError | ResultsError) or not isinstance(error, Exception)
    return is_known or getattr(error, _OF_THE_RUN, False) is True


def mark_as_of_the_run(error: Exception) -> None:
    """Let :func:`concerns_the_run` return True for an exception, for example because a listener raised it."""
    setattr(error, _OF_THE_RUN, True)


def submission_error(error: Exception, where: str | None = None) -> SubmissionError:
    """Return the error of a submission that could not be described.

    Parameters
    ----------
    error
        Any exception that does not concern the run.
    where
        File or folder of the submission.
    """
    if isinstance(error, SubmissionError):
        return error
    if isinstance(error, OSError):
        reason = error.strerror or single_line(str(error), _MAX_MESSAGE) or type(error).__name__
        return SubmissionError(f"cannot be read: {reason}", where=where, hint="check the files and their permissions")
    return HandlingError(
        f"the harness could not handle it: {_described(error)}", kind=_kind(error), log=_traceback(error), where=where
    )


def worker_error(error: Exception, stage: str) -> WorkerError:
    """Return the error of a submission at whose data a stage of the run failed, with the traceback as its log."""
    if isinstance(error, WorkerError):
        return error
    if isinstance(error, SubmissionError):
        log = getattr(error, "log", "")
        return WorkerError(error.what, stage=stage, kind=kind_of(error), log=log, where=error.where, hint=error.hint)
    what = f"the harness could not handle it: {_described(error)}"
    return WorkerError(what, stage=stage, kind=_kind(error), log=_traceback(error), hint=_HINT)


def kind_of(error: SubmissionError) -> str:
    """Return the type of the error of a row."""
    return error.kind if isinstance(error, HandlingError) else type(error).__name__


def _described(error: Exception) -> str:
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return f"{words} ({_kind(error)})"
    text = error.what if isinstance(error, HarnessError) else _text(error)
    return f"{_kind(error)}: {text}" if text else _kind(error)


def _kind(error: Exception) -> str:
    return single_line(type(error).__name__, 100) or "Exception"


def _text(error: Exception) -> str:
    try:
        return single_line(str(error), _MAX_MESSAGE)
    except Exception as failure:  # noqa: BLE001  # the message may be made of the submission's data
        return f"its message raises {type(failure).__name__}"


def _traceback(error: Exception) -> str:
    # The last frames: a RecursionError has a thousand, and the cause is near the end.
    try:
        lines = "".join(traceback.format_exception(error, limit=-_FRAMES))
    except Exception as failure:  # noqa: BLE001
        return f"the traceback cannot be formatted ({type(failure).__name__})"
    return printable(lines, _MAX_TRACEBACK, keep_end=True)
