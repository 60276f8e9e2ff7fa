"""End the process of a command without dismantling the modules that it has imported: with torch that takes 0.7 s."""

from __future__ import annotations

import atexit
import os
from contextlib import suppress

from harness.cli.streams import give_up_output


class QuickEnd:
    """Ends the process when all other functions of ``atexit`` have been called. Made before they are registered.

    Attributes
    ----------
    status
        Exit status of the process. As long as it is None, for example because of an exception that nobody has handled,
        the process ends as usual.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        atexit.register(self._end)

    def _end(self) -> None:
        if self.status is None:
            return
        with suppress(ValueError):  # a stream was closed
            give_up_output()
        os._exit(self.status)
