"""Opens every file of the kernel's administration for writing. It writes nothing, so that a failed test does no harm."""

import os

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


_OPEN_TO_ALL = "/proc/sys/kernel/ns_last_pid"  # all users may open it, but a write needs a capability
_FOLDERS = ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/sys/kernel", "/sys/module", "/sys/fs")


def srmodel():
    files = ["/proc/sysrq-trigger", "/proc/mtrr"]
    files += [os.path.join(parent, name) for top in _FOLDERS for parent, _, names in os.walk(top) for name in names]
    files = [name for name in files if name != _OPEN_TO_ALL]
    opened = []
    for name in files:
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))
        except OSError:
            continue
        opened.append(name)
    if opened:
        raise RuntimeError(f"{len(opened)} files can be written, such as {opened[:5]}")
    return Network()
