"""Interface of a worker as the timing uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from harness.timing.frames import Image, Variation
from harness.timing.strips import Strips


class TimeReport(Protocol):
    """A worker's reply to one timing request; implemented by ``harness.isolation.requests.TimeReply``."""

    @property
    def samples_ms(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def at_s(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def warmup_ms(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def clock(self) -> str: ...  # noqa: D102
    @property
    def alarms(self) -> int: ...  # noqa: D102
    @property
    def marked_ms(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def strips(self) -> Sequence[Strips]: ...  # noqa: D102
    @property
    def variations(self) -> Sequence[Variation | None]: ...  # noqa: D102
    @property
    def wall_s(self) -> float: ...  # noqa: D102
    @property
    def delay_s(self) -> float: ...  # noqa: D102


class TimedWorker(Protocol):
    """A process that runs one network; implemented by ``harness.isolation.session.Session``."""

    def time(
        self,
        lr: Sequence[Image],
        warmup: int,
        repeats: int,
        min_repeats: int,
        budget_s: float | None,
        *,
        inputs: Literal["reused", "fresh", "dataset"] = "fresh",
    ) -> TimeReport:
        """Time forward passes.

        Parameters
        ----------
        lr
            Frames, H x W x 3, uint8.
        warmup
            Number of untimed calls before the first sample.
        repeats, min_repeats
            Largest and smallest number of samples.
        budget_s
            Seconds after which no further call begins; None for no limit.
        inputs
            How the frames are used, see :class:`harness.timing.protocol.TimingProtocol`.
        """
        ...

    def upscale(self, lr: Image) -> Image:
        """Upscale a frame in a call of its own."""
        ...

    def last_image(self, lr: Image) -> Image:
        """Return the output of the last call, whose input was `lr`, as an image."""
        ...

    def pause(self) -> None:
        """Stop the process until the next request."""
        ...

    def cpu_s(self) -> float | None:
        """Return the processor time used so far by the process and its children, seconds; None if unknown."""
        ...

    def let_run(self) -> bool:
        """Let the process run without a request; return whether :meth:`cpu_s` then is its own processor time."""
        ...
