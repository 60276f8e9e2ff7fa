"""Where a network's buffers lie in memory, drawn anew for each burst of calls.

Which addresses the allocator hands out decides on conflicts in the caches, and a process keeps its pattern for as long
as it lives: of forty copies of one network two were 5 to 8 % faster throughout. Drawn anew for every burst,
this is noise like any other, which rounds average out (compare Curtsinger and Berger, "Stabilizer", ASPLOS 2013).
"""

from __future__ import annotations

from random import SystemRandom  # bound before submitted code is imported

import torch
from torch import Tensor

_BLOCKS = 24
_LEAST_BYTES, _MOST_BYTES = 1 << 10, 256 << 10

_random = SystemRandom()


def scattered_blocks() -> list[Tensor]:
    """Return blocks of memory to hold while a network is timed; as many others were taken and leave holes.

    Nothing is written to them, so that they take addresses and hardly any memory.
    """
    blocks = [torch.empty(_random.randrange(_LEAST_BYTES, _MOST_BYTES), dtype=torch.uint8) for _ in range(_BLOCKS)]
    return [block for block in blocks if _random.random() < 0.5]
