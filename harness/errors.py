"""The exception hierarchy: every error states what is wrong, where, and how to fix it.

All exceptions that the harness raises on purpose derive from :class:`HarnessError`. Its direct subclasses separate
errors by origin: the command line, a submission, the data, stored results or a worker process.
"""

from harness.text import sentence_start


class HarnessError(Exception):
    """Base class of all errors that the harness raises on purpose.

    Parameters
    ----------
    what
        Description of the error, without a full stop.
    where
        The file, key, line or image at fault.
    hint
        How to fix it, without a full stop. A command, a path or an option at its start keeps its case.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f". {sentence_start(self.hint)}." if self.hint else ""
        return f"{place}{self.what}{remedy}"


class UsageError(HarnessError):
    """An option or argument is invalid, or names something that does not exist."""


class SubmissionError(HarnessError):
    """A submission is invalid. It becomes a failed row of the leaderboard and does not stop the run."""


class ManifestError(SubmissionError):
    """A ``submission.toml`` cannot be read or is invalid."""


class ArchiveError(SubmissionError):
    """A zip file is rejected; nothing of it has been extracted."""


class CheckpointError(SubmissionError):
    """Weights are missing, unreadable, unsafe or do not match the network."""


class ContractError(SubmissionError):
    """A network loads but its output is not an upscaled image: wrong shape, dtype, range or value."""


class UnsupportedError(SubmissionError):
    """A submission is valid but cannot be measured here: unsupported scale, no weights or a missing package."""


class DataError(HarnessError):
    """An image or data set is missing, unreadable or inconsistent."""


class ResultsError(HarnessError):
    """A stored result is missing, damaged or of an unsupported version."""


DISQUALIFIED = "Disqualified"
"""Value of ``WorkerError.kind`` that disqualifies a submission. All other kinds mark its row as failed."""


class MachineLostError(HarnessError):
    """A machine of a cluster cannot be reached any more; what it was doing is done again elsewhere."""


class WorkerError(HarnessError):
    """A worker process crashed, timed out, raised an exception or sent an invalid reply.

    Parameters
    ----------
    what, where, hint
        See :class:`HarnessError`.
    stage
        The step that failed, such as ``load`` or ``time``.
    kind
        Class of the error, such as ``Crash``, ``Timeout``, ``ProtocolError``, :data:`DISQUALIFIED` or the name of
        the exception that submitted code raised.
    log
        End of the submission's output, with the traceback if there is one.
    """

    def __init__(
        self, what: str, *, stage: str, kind: str, log: str = "", where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.stage = stage
        self.kind = kind
        self.log = log
