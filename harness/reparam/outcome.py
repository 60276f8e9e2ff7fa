"""Define the result of a reparameterization: the network to measure and the record to store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from harness.results.schema import FormName, Reparam


@dataclass(frozen=True, slots=True)
class Outcome:
    """Network to measure, with a record of how it was derived from its training form.

    Attributes
    ----------
    network
        Inference form in eval mode; the given object itself if nothing changed.
    record
        Method, parameter counts, error and notes. MACs are not set here because they depend on the track's input size.
    forms
        All forms by name, the given network as ``loaded`` among them.
    regions
        Names of the last nodes of the collapsed regions, see :attr:`harness.reparam.search.Search.regions`.
    """

    network: nn.Module
    record: Reparam
    forms: Mapping[FormName, nn.Module] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
