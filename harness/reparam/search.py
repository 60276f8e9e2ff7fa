"""Define what the automatic collapse may do and how long it may search."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic  # bound before submitted code is imported

import torch
from torch import Tensor

from harness.reparam.sizes import Size, scaled

LIMIT_S = 30.0
"""Time after which the search for regions ends by default, seconds. What was found by then is collapsed."""

Choice = Callable[[str], bool]
"""Predicate on the name of a region's last node: whether the region may be collapsed."""


@dataclass(frozen=True, slots=True)
class Search:
    """Options of the automatic collapse.

    Attributes
    ----------
    automatic
        Whether to collapse at all after the author's method.
    allow_border_error
        Also collapse regions that are equal only in the interior of the image.
    limit_s
        Seconds after which no more regions are sought.
    regions
        Names of the last nodes of the only regions that may be collapsed, as an earlier search returned them, so that
        two processes get the same form. None for all regions. The limit does not apply then.
    """

    automatic: bool = True
    allow_border_error: bool = False
    limit_s: float = LIMIT_S
    regions: frozenset[str] | None = None

    def started(self) -> Clock:
        """Start the time of the search."""
        # Which regions are found must not depend on the speed of this process.
        return Clock(math.inf if self.regions is not None else self.limit_s)

    def choice(self) -> Choice:
        """Return which regions may be collapsed."""
        regions = self.regions
        return (lambda _: True) if regions is None else regions.__contains__


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of one search, from its creation.

    Attributes
    ----------
    limit_s
        Seconds that the search may take.
    """

    limit_s: float = math.inf
    _begin: float = field(default_factory=monotonic)

    @property
    def is_late(self) -> bool:
        """Whether the time limit has passed."""
        return monotonic() - self._begin > self.limit_s


@dataclass(frozen=True, slots=True)
class CollapseOptions:
    """What one collapse may do.

    Attributes
    ----------
    dtype
        Timed precision.
    allow_border_error
        Whether results may differ at the border.
    choice
        Which regions may be collapsed.
    clock
        The time limit.
    sizes
        Heights and widths of the images for which the network, or the part that is collapsed, is used.
    """

    dtype: torch.dtype
    allow_border_error: bool
    choice: Choice
    clock: Clock
    sizes: tuple[Size, ...] = ()

    @property
    def is_late(self) -> bool:
        """Whether the time limit has passed."""
        return self.clock.is_late

    def of_part(self, whole: Tensor, part: Tensor) -> CollapseOptions:
        """Return the options for a part, from the inputs of the whole and of the part in one call."""
        return replace(self, sizes=scaled(self.sizes, whole, part))
