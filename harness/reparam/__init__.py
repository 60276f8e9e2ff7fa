"""Training form to inference form: the author's own method, else automatic collapse, and the proof."""

from harness.reparam.outcome import Outcome
from harness.reparam.policy import reparameterize

__all__ = ["Outcome", "reparameterize"]
