"""Keep freed memory in the process, because page faults otherwise take a large part of the time of a training step."""

import ctypes
import sys

# Parameters of mallopt from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGE = 2**30


def keep_pages() -> bool:
    """Configure glibc not to return memory to the system; return False if this is not supported."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    # Feature maps are larger than the default thresholds: each would be mapped and unmapped again in every step.
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
