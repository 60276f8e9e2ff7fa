"""Submissions: manifests, discovery, archives, checkpoints and environments. Nothing here executes submitted code.

The names below are available without importing torch. Loading is in `harness.worker.loader`, the contract in
`harness.worker.contract`, checkpoints in `harness.submissions.checkpoint` and `harness.submissions.convert`.
"""

from harness.submissions.discovery import baselines, discover
from harness.submissions.manifest import Manifest, read_manifest
from harness.submissions.skeleton import create
from harness.submissions.submission import BrokenSubmission, Found, Submission

__all__ = [
    "BrokenSubmission",
    "Found",
    "Manifest",
    "Submission",
    "baselines",
    "create",
    "discover",
    "read_manifest",
]
