"""Training form to inference form: the author's own method, else automatic collapse, and the proof."""

from harness.reparam.export import submission_files, write_submission
from harness.reparam.outcome import Outcome
from harness.reparam.policy import reparameterize

__all__ = ["Outcome", "reparameterize", "submission_files", "write_submission"]
