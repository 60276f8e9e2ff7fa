"""The filter of system calls: its numbers, its decisions by an interpreter of BPF, and what the kernel does with it."""

import ctypes
import errno
import json
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from harness.isolation.syscall_filter import CLONE, CLONE3, DENIED, FCNTL, IOCTL, PRCTL, SOCKET, filter_program
from harness.isolation.unprivileged import HARDEN, hardened, is_root

linux = pytest.mark.skipif(filter_program() is None, reason="no filter for this machine")

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Interpret classic BPF (the instructions that a filter of system calls may have) on ``struct seccomp_data``."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: accumulator & value != 0}[code]
            at += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_decides_as_documented(machine: str, column: int) -> None:
    program = filter_program(machine)
    assert program is not None

    def call(number: int | None, *arguments: int) -> int:
        assert number is not None
        return decide(program, AUDIT_ARCH[machine], number, *arguments)

    denied = {numbers[column] for numbers in DENIED.values()} - {None}
    special = {one[column] for one in (CLONE, CLONE3, FCNTL, IOCTL, PRCTL, SOCKET)}
    for number in range(600):
        if number not in special:
            assert call(number) == (EPERM if number in denied else ALLOW), number
    assert call(CLONE3[column]) == ENOSYS
    assert call(CLONE[column], 0x003D0F00) == ALLOW  # the flags of pthread_create
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert call(CLONE[column], flag | 17) == EPERM
    assert call(IOCTL[column], 0, 0x5412) == call(IOCTL[column], 0, 0x541C) == EPERM
    assert call(IOCTL[column], 0, 0xFFFFFFFF00005412) == EPERM  # the kernel looks at the low half only
    assert call(IOCTL[column], 0, 0x5401) == ALLOW
    assert call(FCNTL[column], 3, 1024) == EPERM  # F_SETLEASE
    assert [request for request in range(1100) if call(FCNTL[column], 3, request) != ALLOW] == [1024]
    assert call(PRCTL[column], 36) == call(PRCTL[column], 1) == EPERM
    assert call(PRCTL[column], 15) == ALLOW  # PR_SET_NAME
    families = [family for family in range(64) if call(SOCKET[column], family) == ALLOW]
    assert families == [1, 2, 10, 16]


def test_other_interfaces_of_the_kernel_are_denied() -> None:
    program = filter_program("x86_64")
    assert program is not None
    assert decide(program, 0x40000003, 20) == EPERM  # getpid of i386
    assert decide(program, AUDIT_ARCH["x86_64"], 0x40000000 | 39) == EPERM  # getpid of x32
    assert decide(program, AUDIT_ARCH["x86_64"], 0xFFFFFFFF) == EPERM
    assert len(program) // 8 < 4096  # BPF_MAXINSNS
    assert filter_program("riscv64") is None


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_numbers_are_those_of_libseccomp(machine: str, column: int) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not installed")
    special = {"clone": CLONE, "clone3": CLONE3, "fcntl": FCNTL, "ioctl": IOCTL, "prctl": PRCTL, "socket": SOCKET}
    younger = {"open_tree_attr"}  # Linux 6.15
    for name, numbers in {**DENIED, **special}.items():
        if name in younger:
            continue
        found = library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(AUDIT_ARCH[machine]), name.encode())
        assert numbers[column] == (found if found >= 0 else None), name


def filtered(code: str, *arguments: str, harden: bool = True) -> str:
    """Run Python code under the filter, as nobody if the tests run as root, and return what it prints."""
    command = ["/usr/bin/env", "python3", "-I", "-S", "-c", code, *arguments]
    # The interpreter of the tests may be in a folder that only root can reach.
    if is_root():
        command = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    if harden:
        command = hardened(command, python=Path(sys.executable))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


CALL_ALL = """
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
results = {}
for name, number in json.loads(sys.argv[1]).items():
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    results[name] = errno.errorcode.get(ctypes.get_errno(), 0) if value == -1 else "done"
print(json.dumps(results))
"""


@linux
def test_the_kernel_denies_every_call_of_the_table() -> None:
    column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
    numbers = json.dumps({name: numbers[column] for name, numbers in DENIED.items() if numbers[column] is not None})
    assert set(json.loads(filtered(CALL_ALL, numbers)).values()) == {"EPERM"}
    # The same calls without the filter, so that the first result is not one of the arguments or of the user's rights.
    without = json.loads(filtered(CALL_ALL, numbers, harden=False))
    others = {"shmget", "semget", "msgget", "keyctl", "add_key", "ptrace", "kcmp", "io_uring_setup", "process_vm_readv"}
    assert "EPERM" not in {without[name] for name in others}


@linux
@pytest.mark.parametrize(
    "code",
    [
        "import os; os.fork() or os._exit(0); os.wait(); print('fine')",
        "import subprocess; subprocess.run(['true'], check=True); print('fine')",
        "import threading; t = threading.Thread(target=print, args=('fine',)); t.start(); t.join()",
        "import socket; socket.socketpair(); socket.socket(); print('fine')",
        "import mmap, os; f = os.memfd_create('m'); os.ftruncate(f, 9); mmap.mmap(f, 9); print('fine')",
    ],
)
def test_what_networks_need_works(code: str) -> None:
    assert filtered(code).strip() == "fine"


@linux
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("libc.prctl(36, 0, 0, 0, 0)", errno.EPERM),
        ("libc.prctl(1, 0, 0, 0, 0)", errno.EPERM),
        ("libc.unshare(0x10000000)", errno.EPERM),
        ("libc.setns(0, 0)", errno.EPERM),
        ("libc.socket(40, 1, 0)", errno.EPERM),
        ("libc.ioctl(0, 0x5412, b'x')", errno.EPERM),
        ("libc.syscall(435, 0, 0)", errno.ENOSYS),
    ],
)
def test_what_escapes_need_does_not(code: str, error: int) -> None:
    prelude = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
    assert filtered(f"{prelude}print({code}, ctypes.get_errno())").split() == ["-1", str(error)]


@linux
def test_children_and_programs_inherit_the_filter() -> None:
    code = "import subprocess, sys; subprocess.run(['grep', '-E', 'Seccomp:|NoNewPrivs', '/proc/self/status'])"
    assert filtered(code).split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]


KEYS = """
import ctypes, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
keyctl, add_key = map(int, sys.argv[1:3])
if libc.syscall(keyctl, 1, None) < 0:  # KEYCTL_JOIN_SESSION_KEYRING
    sys.exit(77)
libc.syscall(add_key, b"user", b"sr-harness-secret", b"value", 5, -3)
search = f"import ctypes; print(ctypes.CDLL(None).syscall({keyctl}, 10, -3, b'user', b'sr-harness-secret', 0))"
for start in ([], sys.argv[3:]):
    subprocess.run([*start, "/usr/bin/env", "python3", "-c", search], check=True)
"""


@linux
def test_keys_of_the_session_are_left_behind() -> None:
    column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
    numbers = [str(DENIED[name][column]) for name in ("keyctl", "add_key")]
    start = [sys.executable, "-I", "-S", str(HARDEN), json.dumps({"filter": None, "parent": None})]
    command = [sys.executable, "-c", KEYS, *numbers, *start]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77:
        pytest.skip("the kernel has no keyrings, or forbids them")
    found, hidden = map(int, done.stdout.split())
    assert found > 0
    assert hidden == -1


@linux
def test_a_filter_that_cannot_be_installed_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.isolation import unprivileged

    monkeypatch.setattr(unprivileged, "filter_program", lambda: b"\xff" * 8)
    command = hardened(["/bin/echo", "started"], python=Path(sys.executable))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 125
    assert "filter cannot be installed" in done.stderr
    assert "started" not in done.stdout


LEASE = """
import fcntl, os, sys
fd = os.open("own-lease", os.O_RDONLY | os.O_CREAT)
try:
    print(fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK))
except OSError as error:
    print(error.strerror)
os.unlink("own-lease")
"""


@linux
def test_nobody_can_make_those_wait_who_open_its_files() -> None:
    code = f"import os, tempfile\nos.chdir(tempfile.gettempdir())\n{LEASE}"
    assert filtered(code).strip() == "Operation not permitted"
    assert filtered(code, harden=False).strip() == "0"
