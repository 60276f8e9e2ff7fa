"""State what workers are not confined from, for the terminal."""

from __future__ import annotations

import platform
import sys

from harness.isolation.sandbox import Choice
from harness.isolation.syscall_filter import filter_program
from harness.isolation.unprivileged import descent_problem, is_root, private_folders_problem

_SANDBOX = "run with bubblewrap for code that you do not trust"


def exposure(choice: Choice) -> list[str]:
    """Return what the code of a submission can do to this machine, a sentence each; empty with a complete sandbox."""
    found = []
    if choice.confinement == "none":
        user = "as root, with full control of this machine" if is_root() else "with all your rights"
        found.append(f"submissions are not confined: they run {user} and without limits; {_SANDBOX}")
    elif choice.confinement == "process":
        found.append(f"submissions are not confined by a sandbox: they {_rights_of_processes()}; {_SANDBOX}")
    if choice.confinement != "none" and filter_program() is None:
        found.append(f"system calls are not filtered: the filter does not know {sys.platform} on {platform.machine()}")
    return found


def _rights_of_processes() -> str:
    if not is_root():
        return "can read and write all files that you can, use the network, and end the harness"
    problem = descent_problem()
    if problem is not None:
        return f"run as root, with full control of this machine ({problem})"
    if private_folders_problem() is not None:
        return "run as an unprivileged user, and can read and write what all users can, and use the network"
    return "run as an unprivileged user, and can read all files that all users can, and use the network"
