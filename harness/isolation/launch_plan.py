"""What a worker is started with: the parameters of its launch, and the controller's ends of what connects them."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from harness.isolation.cgroup import Group, make_group
from harness.isolation.limits import Limits
from harness.isolation.log import LogCapture
from harness.isolation.private_folders import make_private_folder
from harness.isolation.sandbox import Confinement
from harness.isolation.segment import Segment


@dataclass(frozen=True, slots=True)
class Launch:
    """Parameters of a worker process.

    Attributes
    ----------
    root
        Folder of the submission.
    inside
        Path of that folder as the worker sees it.
    python
        Interpreter that runs the worker.
    threads
        Number of CPU threads that a network may use.
    device
        Torch device that the network runs on.
    limits
        Resource limits.
    confinement
        Kind of isolation.
    process
        Index of this worker among those of the submission, from 0.
    """

    root: Path
    inside: Path
    python: Path
    threads: int
    device: str
    limits: Limits
    confinement: Confinement
    process: int = 0


@dataclass(frozen=True, slots=True)
class Connection:
    """What is made before a worker is started.

    Attributes
    ----------
    ours, theirs
        Connected sockets. `theirs` is inherited by the worker and then closed here. A socket pair has no address:
        only a process that inherits the descriptor can connect to the controller.
    segment
        Shared memory; None if there is none.
    log
        Capture of the worker's output.
    private
        Temporary folder, the working directory of a worker without a sandbox.
    group
        Control group; None if control groups are unavailable.
    """

    ours: socket.socket
    theirs: socket.socket
    segment: Segment | None
    log: LogCapture
    private: Path
    group: Group | None

    @classmethod
    def make(cls, limits: Limits) -> Connection:
        """Make all of them."""
        ours, theirs = socket.socketpair()
        return cls(ours, theirs, Segment.create(), LogCapture(), make_private_folder(), make_group(limits))

    @property
    def inherited(self) -> list[int]:
        """File descriptors that a worker inherits, besides its log."""
        return [self.theirs.fileno(), *([] if self.segment is None else [self.segment.fd])]
