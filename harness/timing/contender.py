"""A network that is timed in company, as the timing sees it: something that takes frames and gives times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import WorkerError
from harness.results.measurement import RoundTimes, TimingRecord
from harness.timing.protocol import Statistic

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class OutputTile:
    """A part of what a network made of a frame.

    Attributes
    ----------
    frame
        What it was given, H x W x 3.
    place
        Top, left, rows and columns of the part.
    values
        The part, rows x columns x 3, in levels.
    """

    frame: Image
    place: tuple[int, int, int, int]
    values: NDArray[np.float32]


class TimeReport(Protocol):
    """What a worker says of one request; ``harness.isolation.requests.TimeReply`` has it."""

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
    def wall_s(self) -> float: ...  # noqa: D102


class Timed(Protocol):
    """Where a network runs; ``harness.isolation.session.Session`` is one."""

    def time(
        self,
        lr: Sequence[Image],
        warmup: int,
        repeats: int,
        min_repeats: int,
        budget_s: float | None,
        *,
        inputs: Literal["reused", "fresh", "dataset"] = "fresh",
        keep: bool = True,
    ) -> TimeReport:
        """Time forward passes; with `keep`, the last output can be asked for."""
        ...

    def output(self, top: int, left: int, height: int, width: int) -> NDArray[np.float32]:
        """Return a part of the last timed output, H x W x 3, in levels."""
        ...

    def upscale(self, lr: Image) -> Image:
        """Upscale a frame outside the timing."""
        ...

    def pause(self) -> None:
        """Stop it until the next request."""
        ...

    def cpu_s(self) -> float | None:
        """Return the processor time that it took so far, seconds; None where nobody can tell."""
        ...

    def idle_cores(self, settling_s: float, length_s: float) -> float | None:
        """Let it go without giving it work, and return how many cores it keeps busy after `settling_s` seconds.

        It is looked at for `length_s` seconds; None where nobody can tell.
        """
        ...


@dataclass(slots=True)
class Contender:
    """One network of a joint timing; it grows with each round.

    Attributes
    ----------
    name
        For messages.
    worker
        Where it runs.
    cpu_s
        Processor time of its process and of all that it started, during its turns.
    turn_statistic
        What the calls of a turn are taken together by.
    process
        Which of the network's processes this is, from 0.
    processes
        In how many it is timed; known when the first is warm.
    slow
        Whether a call takes more than a third of the budget, so that it is spared what takes calls of its own.
    probed
        Which of the processes is given frames that it has seen, and noise; drawn when the first is warm.
    shown
        What the network's first process made of a frame: later ones must make the same of it.
    timed
        The last of its timed outputs that was checked.
    error
        What ended it, where something did.
    """

    name: str
    worker: Timed
    spent_s: float = 0.0
    cpu_s: float = 0.0
    clock: str = ""
    turn_statistic: Statistic = "mean"
    warmup: list[tuple[float, float]] = field(default_factory=list)
    samples: list[tuple[float, float]] = field(default_factory=list)
    rounds: list[RoundTimes] = field(default_factory=list)
    note: str | None = None
    done: bool = False
    process: int = 0
    processes: int = 1
    slow: bool = False
    probed: int = 0
    shown: OutputTile | None = None
    timed: OutputTile | None = None
    error: WorkerError | None = None

    def another(self, worker: Timed) -> Contender:
        """Return the same network in another process of it, of which nothing is known yet."""
        return Contender(
            self.name,
            worker,
            process=self.process + 1,
            processes=self.processes,
            probed=self.probed,
            shown=self.shown,
        )

    def record(self, session: str) -> TimingRecord:
        """Return all that was timed; `session` names the joint timing that it belongs to."""
        return TimingRecord(
            clock=self.clock,
            warmup=self.warmup,
            samples=self.samples,
            rounds=self.rounds,
            turn_statistic=self.turn_statistic,
            session=session,
            note=self.note,
        )
