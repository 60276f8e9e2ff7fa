"""A system call filter (seccomp) for workers, as a classic BPF program.

A network needs files, memory, threads and time. The filter denies what it never needs and what exploits of the kernel
or escapes from a sandbox often use: keyrings, System V and POSIX message objects, tracing, ``userfaultfd``,
``io_uring``, BPF, performance counters, mounts, namespaces and the administration of the machine. A denied call fails
with ``EPERM``.

The filter allows everything else, because drivers of accelerators use a large and undocumented set of calls.
"""

from __future__ import annotations

import errno
import platform
import struct
import sys
from collections.abc import Mapping

# linux/bpf_common.h and linux/filter.h
_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

# linux/seccomp.h
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16

_X32 = 0x40000000  # the bit that marks calls of the x32 ABI, whose numbers are not those of the table
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the table, AUDIT_ARCH of linux/audit.h

# Numbers on x86_64 and aarch64; None where the call does not exist.
DENIED: Mapping[str, tuple[int, int | None]] = {
    # Keys outlive a process and are shared by all processes of a user.
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # So do these objects.
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "mq_open": (240, 180), "mq_unlink": (241, 181),
    # Access to other processes, and to what the kernel knows about them.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_getfd": (438, 438), "perf_event_open": (298, 241),
    "bpf": (321, 280), "lookup_dcookie": (212, 18), "syslog": (103, 116),
    # Memory that is produced when it is read, or that no limit counts; a second way into the kernel.
    "userfaultfd": (323, 282), "memfd_secret": (447, 447),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # File systems.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262), "quotactl": (179, 60), "quotactl_fd": (443, 443), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89),
    # Namespaces.
    "unshare": (272, 97), "setns": (308, 268),
    # The machine.
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "vhangup": (153, 58), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "adjtimex": (159, 171), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "uselib": (134, None),
}  # fmt: skip

CLONE = (56, 220)
CLONE3 = (435, 435)
IOCTL = (16, 29)
FCNTL = (72, 25)
PRCTL = (157, 167)
SOCKET = (41, 198)

_NAMESPACE_FLAGS = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_TERMINAL_REQUESTS = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX put characters into the input of a terminal
_LEASES = (1024,)  # F_SETLEASE: whoever opens the file then waits for its holder, up to 45 seconds
# A worker dies with the controller, and its orphans stay among its descendants.
_PROCESS_SETTINGS = (1, 36)  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER
_SOCKET_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK; others reach beyond a network namespace


def filter_program(machine: str | None = None) -> bytes | None:
    """Return the filter as an array of ``struct sock_filter``; None for a processor whose call numbers are not known.

    Parameters
    ----------
    machine
        Processor as named by ``uname -m``; that of this machine by default.
    """
    known = _MACHINES.get(platform.machine() if machine is None else machine)
    if known is None or not sys.platform.startswith("linux"):
        return None
    column, architecture = known
    deny = _give_up(errno.EPERM)
    # A 32-bit process on the same machine has other call numbers, so calls of any other architecture are denied.
    program = [_load(_OFFSET_ARCHITECTURE), _when(_JUMP_EQUAL, architecture, skip_if_not=0, skip_if=1), deny]
    program += [_load(_OFFSET_NUMBER)]
    if column == 0:
        program += [_when(_JUMP_AT_LEAST, _X32), deny]
    for numbers in DENIED.values():
        number = numbers[column]
        program += [] if number is None else [_when(_JUMP_EQUAL, number), deny]
    # clone3 has its flags in memory, which a filter cannot read. ENOSYS makes the C library use clone.
    program += [_when(_JUMP_EQUAL, CLONE3[column]), _give_up(errno.ENOSYS)]
    program += _about(CLONE[column], 0, [_when(_JUMP_ANY_BIT, _NAMESPACE_FLAGS), deny])
    program += _about(IOCTL[column], 1, [part for one in _TERMINAL_REQUESTS for part in (_equal(one), deny)])
    program += _about(FCNTL[column], 1, [part for one in _LEASES for part in (_equal(one), deny)])
    program += _about(PRCTL[column], 0, [part for one in _PROCESS_SETTINGS for part in (_equal(one), deny)])
    allow = _instruction(_RETURN, _ALLOW)
    program += _about(SOCKET[column], 0, [*(part for one in _SOCKET_FAMILIES for part in (_equal(one), allow)), deny])
    return b"".join([*program, allow])


def _about(number: int, argument: int, checks: list[bytes]) -> list[bytes]:
    """Return instructions that apply `checks` to the low half of one argument of call `number`, and then allow it."""
    # The argument replaces the call number in the accumulator, so the body always ends with a return.
    body = [_load(_OFFSET_ARGUMENTS + 8 * argument), *checks, _instruction(_RETURN, _ALLOW)]
    return [_when(_JUMP_EQUAL, number, skip_if_not=len(body)), *body]


def _equal(value: int) -> bytes:
    return _when(_JUMP_EQUAL, value)


def _when(jump: int, value: int, skip_if_not: int = 1, skip_if: int = 0) -> bytes:
    return _instruction(jump, value, skip_if, skip_if_not)


def _load(offset: int) -> bytes:
    return _instruction(_LOAD_WORD, offset)


def _give_up(number: int) -> bytes:
    return _instruction(_RETURN, _ERRNO | number)


def _instruction(code: int, value: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, value)
