"""Confine a forked process in the way in which ``bwrap``, ``descend.py`` and ``harden.py`` confine an executed one."""

from __future__ import annotations

import ctypes
import os
import random
import tempfile
from pathlib import Path

import numpy as np

from harness.isolation import descend, harden
from harness.isolation.fork_settings import ForkSettings

# linux/sched.h: mount, control group, UTS, IPC, user, PID and network namespaces
_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
# linux/prctl.h, linux/capability.h
_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 4, 36, 38
# Version 3, with two structures of three 32-bit words: effective, permitted, inheritable.
_CAPABILITY_VERSION = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def protect_from_other_processes() -> None:
    """Forbid unprivileged processes of the same user to read or to change the memory of this process."""
    # For a process that is not dumpable, the kernel refuses ptrace and access to /proc/PID/mem.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class Confined:
    """A forked process that becomes a worker.

    Parameters
    ----------
    settings
        Settings of the worker.
    descriptors
        File descriptors of the channel, of the log, of the shared memory and of the sandbox, the latter two as
        `settings` says.
    libc
        The C library.
    """

    def __init__(self, settings: ForkSettings, descriptors: list[int], libc: ctypes.CDLL) -> None:
        rest = iter(descriptors)
        self.settings = settings
        self.channel = next(rest)
        self._log = next(rest)
        self.segment = next(rest) if settings.has_segment else None
        self._sandbox = next(rest) if settings.in_sandbox else None
        self._libc = libc
        self._parent = 0

    def enter(self) -> None:
        """Join the control group and the namespaces, and give up all privileges; the next child is the worker.

        Raises
        ------
        OSError
            The system does not permit it.
        """
        server = os.getppid()
        if self.settings.group is not None:
            Path(self.settings.group).write_text("0\n")  # stands for the writing process
        descent = self.settings.descent
        if descent is not None and self._sandbox is None and descent["mounts"]:
            descend.enter_namespaces()
            descend.arrange(descent)
        if descent is not None:
            descend.drop_privileges(descent["user"], descent["groups"])
        if self._sandbox is not None:
            # All at once: from inside, a process has no rights over the namespaces that belong to the one around it.
            descend.check(self._libc.setns(self._sandbox, _NAMESPACES), "setns")
            self._give_up_capabilities()
        else:
            # Orphaned descendants become children of this process instead of init.
            self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # After all changes of credentials, which undo it. Without it, a process that was stopped when the controller
        # was killed would stay for ever.
        harden.end_with_parent(self._libc, server)
        # Within the sandbox, a parent outside of it has no number.
        self._parent = os.getpid() if self._sandbox is None else 0

    def become_worker(self) -> None:
        """Set what belongs to this process: descriptors, environment, working folder, and the system call filter."""
        self._libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after an execve, so that it can read its own /proc
        harden.end_with_parent(self._libc, self._parent)
        if self._sandbox is not None:
            os.setsid()
        self._settle_descriptors()
        os.environ.clear()
        os.environ.update(self.settings.environment)
        os.chdir(self.settings.folder)
        # The cached folder is that of the fork server; it is found anew from TMPDIR.
        tempfile.tempdir = None
        random.seed()
        np.random.seed()  # noqa: NPY002  the generator of the fork server is in the same state in all of its children
        # The filter comes last: it denies keyctl, and prctl as `end_with_parent` calls it.
        harden.join_new_keyring(self._libc)
        if self.settings.program is not None:
            harden.install_filter(self._libc, bytes.fromhex(self.settings.program))

    def _settle_descriptors(self) -> None:
        """Keep the standard streams, the channel and the shared memory alone."""
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (self._log, 1), (self._log, 2)):
            os.dup2(source, target)
        kept = {0, 1, 2, self.channel, *(() if self.segment is None else (self.segment,))}
        for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            if descriptor not in kept:
                # Unlike os.close, it ignores a descriptor that is closed already, such as that of the listing.
                os.closerange(descriptor, descriptor + 1)

    def _give_up_capabilities(self) -> None:
        descend.drop_bounding_set()
        header, none = _CapabilityHeader(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
        descend.check(self._libc.capset(ctypes.byref(header), none), "capset")
        descend.check(self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
