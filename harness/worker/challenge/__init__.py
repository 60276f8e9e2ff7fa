"""Build the networks of a challenge's repository."""

from harness.worker.challenge.building import build_branch

__all__ = ["build_branch"]
