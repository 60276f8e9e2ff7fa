"""The environment that a worker starts in: nothing of the controller's, and an allocator that does not distort time."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.machine.search_path import WORKER_PATH

PACKAGE = Path(__file__).resolve().parents[1]
"""Folder of the ``harness`` package."""

# glibc maps every large block anew and gives it back when it is freed, so that each forward pass would fault in
# all its pages again: half of the time of a small network on the CPU. These keep the pages in the process.
MEMORY_SETTINGS = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_ARENA_MAX": "1",
}
_DEVICE_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "LD_LIBRARY_PATH",
)


def worker_environment(*, threads: int, private: Path, library: Path, device: str) -> dict[str, str]:
    """Return the whole environment of a worker.

    Parameters
    ----------
    threads
        How many threads a network may use on the CPU.
    private
        The worker's own temporary folder, as it sees it; home and caches are there.
    library
        The folder from which it imports ``harness``.
    device
        On an accelerator, the variables that choose the card are passed on.
    """
    count = str(threads)
    own = {
        "PATH": WORKER_PATH,
        "LANG": "C.UTF-8",
        "USER": "worker",
        "HOME": str(private),
        "TMPDIR": str(private),
        "PYTHONPATH": os.pathsep.join([str(library), *_packages_of_the_user()]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "NUMBA_NUM_THREADS": count,
        "NUMBA_CACHE_DIR": str(private / "numba"),
        "TORCHINDUCTOR_CACHE_DIR": str(private / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of processes beside the network
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",  # pays off where many networks share a cache
        "TORCH_HOME": str(private / "torch"),
        "TRITON_CACHE_DIR": str(private / "triton"),
        "MPLCONFIGDIR": str(private / "matplotlib"),
        "XDG_CACHE_HOME": str(private / "cache"),
    }
    chosen = _DEVICE_VARIABLES if device != "cpu" else ()
    return own | MEMORY_SETTINGS | {name: os.environ[name] for name in chosen if name in os.environ}


def _packages_of_the_user() -> list[str]:
    """Return the folder of what was installed with ``pip --user``, where this process uses it.

    A worker has another home and would not look there.
    """
    own = {site.getusersitepackages()}
    return [folder for folder in sys.path if folder in own]


def worker_command(
    python: Path, fd: int, limits: str, *, parent: int | None, segment: int | None, cores: Sequence[int] = ()
) -> list[str]:
    """Return the command line of a worker.

    Parameters
    ----------
    python
        The interpreter.
    fd
        The channel's descriptor.
    limits
        From ``harness.isolation.limits.limits_to_json``.
    parent
        The controller's process; None in a sandbox, which sees to the worker's end itself.
    segment
        The descriptor of the shared memory, where there is one.
    cores
        The logical processors that it is bound to; all where none is named.
    """
    tie = ["--sandboxed"] if parent is None else ["--parent", str(parent)]
    shared = [] if segment is None else ["--segment", str(segment)]
    bound = ["--cores", ",".join(map(str, cores))] if cores else []
    return [str(python), "-m", "harness.worker.main", "--fd", str(fd), *shared, *bound, "--limits", limits, *tie]
