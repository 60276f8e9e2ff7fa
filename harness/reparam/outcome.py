"""What a reparameterization gives back: the network to measure and the record to store."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from harness.results.schema import Reparam


@dataclass(frozen=True, slots=True)
class Outcome:
    """The network to measure, and what became of its training form.

    Attributes
    ----------
    network
        The inference form in eval mode; the very object that was given where nothing changed.
    record
        Method, parameter counts, error and remarks. The MACs are left empty: they depend on the track's size.
    """

    network: nn.Module
    record: Reparam
