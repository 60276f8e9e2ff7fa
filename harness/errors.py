"""The one tree of exceptions: every error says what is wrong, where, and what to do about it.

A caller catches :class:`HarnessError` to catch all of them. One level below are the families, which follow
from whose mistake it is: the user's command line, a submission, the data, the stored results or the machine.
"""


class HarnessError(Exception):
    """Root of every error that this project raises on purpose.

    Parameters
    ----------
    what
        What is wrong, as a sentence without a full stop.
    where
        The file, key, line or image that is wrong.
    hint
        What the reader can do about it, as a sentence without a full stop.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f". {self.hint[0].upper()}{self.hint[1:]}." if self.hint else ""
        return f"{place}{self.what}{remedy}"


class UsageError(HarnessError):
    """The command line or a Python call asks for something that does not exist or does not fit."""


class SubmissionError(HarnessError):
    """A submission breaks its contract: it becomes a row of the leaderboard, never the end of the run."""


class ManifestError(SubmissionError):
    """A ``submission.toml`` cannot be read or holds a mistake."""


class ArchiveError(SubmissionError):
    """A zip file is refused before anything of it is written."""


class CheckpointError(SubmissionError):
    """Weights are missing, unreadable, unsafe or do not fit the network."""


class ContractError(SubmissionError):
    """A network loads but does not behave as an upscaler: wrong size, type, range or value."""


class UnsupportedError(SubmissionError):
    """A submission is sound but cannot be measured here: no such scale, no weights, a missing package."""


class DataError(HarnessError):
    """An image or a data set is missing, unreadable or does not fit."""


class ResultsError(HarnessError):
    """A stored result is missing, damaged or of a version that this release cannot read."""


DISQUALIFIED = "Disqualified"
"""The kind of WorkerError that makes a row disqualified, not failed."""


class WorkerError(HarnessError):
    """A worker process crashed, hung, or sent what it must not; ``stage`` says at which step."""

    def __init__(
        self, what: str, *, stage: str, kind: str, log: str = "", where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.stage = stage
        self.kind = kind
        self.log = log
