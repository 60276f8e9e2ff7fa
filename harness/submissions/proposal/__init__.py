"""Propose a manifest for a repository: which class belongs to which checkpoint. None of its code is executed."""

from harness.submissions.proposal.writing import FILE_NAME, propose, write

__all__ = ["FILE_NAME", "propose", "write"]
