"""The result of discovery: a submission, or one whose description cannot be read."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import SubmissionError
from harness.submissions.manifest import Manifest

Kind = Literal["submission", "baseline"]
Origin = Literal["folder", "zip", "file", "entry-point"]

PROTOCOL_SCALES = (2, 3, 4)
"""Candidate scales of a submission without manifest; the scale is determined from the network's output."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One model to measure.

    ``root`` is its folder, ``module`` is set if it is an installed package, and ``given`` is the zip file or the single
    file from which the folder was made.
    """

    name: str
    slug: str
    kind: Kind
    root: Path
    manifest: Manifest
    origin: Origin
    module: str | None = None
    given: Path | None = None

    def named(self, text: str) -> str:
        """Return a text in which a folder of the cache is called by the file that the user gave."""
        if self.given is None:
            return text
        # A single file has another name in the cache.
        copies = set((self.manifest.weights or {}).values()) if self.origin == "file" else ()
        for copy in (*(self.root / name for name in copies), self.root):
            text = text.replace(str(copy), str(self.given))
        return text

    def weights_bytes(self, scale: int) -> int | None:
        """Return the size of the file of weights for ``scale``; None if the manifest names none or it is no file."""
        weights = self.manifest.weights_for(scale)
        if weights is None:
            return None
        try:
            # A link is not followed: the size would be that of a file elsewhere.
            facts = (self.root / weights).lstat()
        except OSError:
            return None
        return facts.st_size if stat.S_ISREG(facts.st_mode) else None


@dataclass(frozen=True, slots=True)
class BrokenSubmission:
    """A submission whose manifest or archive cannot be read. It becomes a failed row."""

    name: str
    path: Path
    error: SubmissionError
    slug: str = ""
    kind: Kind = "submission"


Found = Submission | BrokenSubmission
