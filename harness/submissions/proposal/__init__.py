"""Propose a manifest for a repository: which class belongs to which checkpoint. None of its code is executed."""

from harness.submissions.proposal.writing import propose, write

__all__ = ["propose", "write"]
