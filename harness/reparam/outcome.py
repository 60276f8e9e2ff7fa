"""Define the result of a reparameterization: the network to measure and the record to store."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from harness.results.schema import Reparam


@dataclass(frozen=True, slots=True)
class Outcome:
    """Network to measure, with a record of how it was derived from its training form.

    Attributes
    ----------
    network
        Inference form in eval mode; the given object itself if nothing changed.
    record
        Method, parameter counts, error and notes. MACs are not set here because they depend on the track's input size.
    """

    network: nn.Module
    record: Reparam
