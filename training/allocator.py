"""Keep freed memory in the process: faulting pages in again takes a large part of a training step's time."""

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGE = 2**30


def keep_pages() -> bool:
    """Ask glibc never to return memory to the system; return whether it understood (other systems ignore it)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
