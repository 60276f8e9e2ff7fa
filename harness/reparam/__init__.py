"""Convert networks from training form to inference form.

The author's own conversion method is tried first, then linear regions are collapsed automatically. Each conversion is
checked numerically against the original network.
"""

from harness.reparam.export import submission_files, write_submission
from harness.reparam.outcome import Outcome
from harness.reparam.policy import reparameterize
from harness.reparam.search import Search
from harness.reparam.time_limit import time_limit

__all__ = ["Outcome", "Search", "reparameterize", "submission_files", "time_limit", "write_submission"]
