"""Settings that a fork server receives for a worker that it forks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from harness.isolation.limits import Limits


@dataclass(frozen=True, slots=True)
class ForkSettings:
    """Settings of one worker. The file descriptors that belong to them are sent beside them.

    Attributes
    ----------
    environment
        Complete environment of the worker.
    limits
        Resource limits.
    own_user
        Whether the worker runs in its own user namespace or as a user of its own.
    cores
        Logical processors to pin the worker to; empty for no pinning.
    folder
        Working folder, as the worker sees it.
    program
        System call filter in hexadecimal digits; None for a processor without one.
    descent
        How a worker of root becomes unprivileged: the fields of ``harness.isolation.unprivileged.Descent``; None if it
        is not root's.
    in_sandbox
        Whether the worker joins the namespaces of a sandbox, whose descriptor is sent.
    group
        File of a control group that a process writes to to join it; None if there is no group.
    has_segment
        Whether the descriptor of a shared memory is sent.
    """

    environment: dict[str, str]
    limits: Limits
    own_user: bool
    cores: tuple[int, ...]
    folder: str
    program: str | None
    descent: dict[str, Any] | None
    in_sandbox: bool
    group: str | None
    has_segment: bool

    def to_json(self) -> bytes:
        """Serialize the settings."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> ForkSettings:
        """Parse the output of :meth:`to_json`."""
        fields = json.loads(text)
        # JSON has neither dataclasses nor tuples.
        return cls(**{**fields, "limits": Limits(**fields["limits"]), "cores": tuple(fields["cores"])})
