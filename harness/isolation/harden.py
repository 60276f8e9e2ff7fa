"""Give up rights, install the system call filter and execute a command: the last step before a worker starts.

A program of its own that needs the standard library only, started as ``python -I -S harden.py SETTINGS COMMAND...``.
With these options Python executes nothing of an environment in which a submission's packages are installed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

FAILED = 125
"""Exit status if the command was not started."""

# linux/prctl.h, linux/seccomp.h, linux/keyctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_MODE_FILTER = 2
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
_KEYCTL_JOIN_SESSION_KEYRING = 1
_SYSTEM_CALLS = {"x86_64": (317, 250), "aarch64": (277, 219)}  # seccomp, keyctl


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def main(arguments: list[str]) -> NoReturn:
    """Execute ``arguments[1:]`` with the settings in ``arguments[0]``, JSON.

    The settings are ``filter``, the program in hexadecimal digits or null, and ``parent``, the process id of the
    controller if this process is to stay as the command's parent, or null.
    """
    settings, command = json.loads(arguments[0]), arguments[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if settings["parent"] is not None:
        # The filter comes last: it denies prctl with these settings, and keyctl.
        _stay_as_parent(libc, settings["parent"])
    join_new_keyring(libc)
    if settings["filter"] is not None:
        install_filter(libc, bytes.fromhex(settings["filter"]))
    os.environ.pop("LC_CTYPE", None)  # Python sets it where no locale is chosen (PEP 538)
    os.execv(command[0], command)  # noqa: S606


def join_new_keyring(libc: ctypes.CDLL) -> None:
    """Replace the session keyring, which is inherited, by an empty one, if the kernel has keyrings."""
    numbers = _SYSTEM_CALLS.get(os.uname().machine)
    if numbers is not None:
        libc.syscall(ctypes.c_long(numbers[1]), ctypes.c_long(_KEYCTL_JOIN_SESSION_KEYRING), None)


def install_filter(libc: ctypes.CDLL, instructions: bytes) -> None:
    """Install a system call filter, an array of ``struct sock_filter``, for good."""
    # Without privileges, a process may install a filter only with no_new_privs set.
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        _fail("no_new_privs cannot be set")
    # struct sock_filter has 8 bytes; the kernel expects the number of instructions.
    program = _Program(len(instructions) // 8, instructions)
    # Unless asked not to, kernels before 5.16 disable speculative execution of filtered processes, which slows down a
    # network. The flag cannot be passed to prctl.
    number = _SYSTEM_CALLS[os.uname().machine][0]
    mode, flags = ctypes.c_long(_SECCOMP_SET_MODE_FILTER), ctypes.c_long(_SECCOMP_FILTER_FLAG_SPEC_ALLOW)
    if libc.syscall(ctypes.c_long(number), mode, flags, ctypes.byref(program)) == 0:
        return
    # Kernels before 4.17 reject the flag.
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        _fail(f"the system call filter cannot be installed: {os.strerror(ctypes.get_errno())}")


def _stay_as_parent(libc: ctypes.CDLL, controller: int) -> None:
    """Fork. The child returns; this process waits for it, kills what it left behind, and ends in the same way."""
    end_with_parent(libc, controller)
    # Orphaned descendants become children of this process instead of init, also after the child has ended.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    own = os.getpid()
    child = os.fork()
    if child == 0:
        end_with_parent(libc, own)
        return
    # The controller notices the end of a worker by the end of its channel, so no copy of it may stay open here.
    # An unlimited number of descriptors is reported as -1; the mask turns it into the largest C int.
    os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[1] & 0x7FFFFFFF)
    _end_like(wait_for(child))


def end_with_parent(libc: ctypes.CDLL, parent: int) -> None:
    """Let the kernel kill this process when its parent, the process `parent`, dies."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before prctl took effect
        os._exit(FAILED)


def wait_for(child: int) -> int:
    """Return the status of `child` as of ``os.waitpid``, after all other descendants have been killed."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            break
    with contextlib.suppress(ChildProcessError):
        while True:  # children of the killed become children of this process
            for other in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(other, signal.SIGKILL)
            os.waitpid(-1, 0)
    return status


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


def _end_like(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        # The same signal ends this process, which must not write a core dump of its own.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        # The signal may be ignored or handled here, but must end this process. The handler of SIGKILL cannot be set.
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _fail(reason: str) -> NoReturn:
    sys.stderr.write(f"harness: {reason}\n")
    raise SystemExit(FAILED)


if __name__ == "__main__":
    main(sys.argv[1:])
