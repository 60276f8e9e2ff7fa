"""Uses keyrings, System V IPC, tracing, page faults in user space, io_uring, namespaces, BPF and performance counters."""

import ctypes
import os
import platform

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


_COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]
_CALLS = {
    "add_key": ((248, 217), (b"user", b"secret", b"value", 5, -5)),
    "keyctl": ((250, 219), (0, -3, 1)),
    "shmget": ((29, 194), (0, 4096, 0o1600)),
    "semget": ((64, 190), (0, 1, 0o1600)),
    "msgget": ((68, 186), (0, 0o1600)),
    "userfaultfd": ((323, 282), (1,)),
    "io_uring_setup": ((425, 425), (4, bytes(128))),
    "ptrace": ((101, 117), (0, 0, 0, 0)),
    "unshare": ((272, 97), (0x10000000,)),
    "clone": ((56, 220), (0x10000011, 0, 0, 0, 0)),
    "bpf": ((321, 280), (0, bytes(128), 128)),
    "perf_event_open": ((298, 241), (bytes(128), 0, -1, -1, 0)),
    "memfd_secret": ((447, 447), (0,)),
}


def srmodel():
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    for name, (numbers, arguments) in _CALLS.items():
        values = [one if isinstance(one, bytes) else ctypes.c_long(one) for one in arguments]
        result = libc.syscall(ctypes.c_long(numbers[_COLUMN]), *values)
        if name == "clone" and result == 0:
            os._exit(0)
        if result >= 0:
            done.append(name)
    if done:
        raise RuntimeError(f"the kernel did {done}")
    return Network()
