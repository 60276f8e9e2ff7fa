"""Build the networks of repositories as they are: of a challenge's script, or of a model file and its checkpoint."""

from harness.worker.challenge.building import build_branch

__all__ = ["build_branch"]
