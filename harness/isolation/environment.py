"""The environment variables and the command line of a worker.

Nothing is inherited from the controller's environment, which may contain credentials, except the variables that select
an accelerator. The memory allocator is configured so that it does not distort times.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.machine.search_path import WORKER_PATH

PACKAGE = Path(__file__).resolve().parents[1]
"""Folder of the ``harness`` package."""

# By default, glibc allocates each large block with mmap and unmaps it when it is freed, so that every forward pass
# faults in all its pages again: up to half of the time of a small network on the CPU. These settings keep freed pages
# in the process.
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


def worker_environment(*, threads: int, private: Path, device: str) -> dict[str, str]:
    """Return the complete environment of a worker.

    Parameters
    ----------
    threads
        Number of CPU threads that a network may use.
    private
        The worker's private temporary folder, as the worker sees it; used for its home and all caches.
    device
        Torch device. Unless it is ``cpu``, the variables that select an accelerator are passed on.
    """
    count = str(threads)
    own = {
        "PATH": WORKER_PATH,
        "LANG": "C.UTF-8",
        "USER": "worker",
        "HOME": str(private),
        "TMPDIR": str(private),
        "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *_packages_of_the_user()]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        # HOME is a private folder, so the user's packages are passed in PYTHONPATH instead.
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",  # files in the working directory must not shadow packages
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "NUMBA_NUM_THREADS": count,
        "NUMBA_CACHE_DIR": str(private / "numba"),
        "TORCHINDUCTOR_CACHE_DIR": str(private / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # compile in-process: no idle pool during timing
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",  # costs more than it saves for one network
        "TORCH_HOME": str(private / "torch"),
        "TRITON_CACHE_DIR": str(private / "triton"),
        "MPLCONFIGDIR": str(private / "matplotlib"),
        "XDG_CACHE_HOME": str(private / "cache"),
    }
    # Passed on only for accelerators: LD_LIBRARY_PATH, for example, could make a CPU run load other libraries.
    chosen = _DEVICE_VARIABLES if device != "cpu" else ()
    return own | MEMORY_SETTINGS | {name: os.environ[name] for name in chosen if name in os.environ}


def _packages_of_the_user() -> list[str]:
    """Return the folder of packages installed with ``pip --user``, if this process imports from it.

    A worker has a different home directory and would not find them.
    """
    own = {site.getusersitepackages()}
    return [folder for folder in sys.path if folder in own]


def worker_command(
    python: Path,
    fd: int,
    limits: str,
    *,
    parent: int | None = None,
    own_user: bool,
    segment: int | None,
    cores: Sequence[int] = (),
) -> list[str]:
    """Return the command line of a worker.

    Parameters
    ----------
    python
        Interpreter.
    fd
        Inherited file descriptor of the channel.
    limits
        Output of ``harness.isolation.limits.limits_to_json``.
    parent
        Process id of the controller; None if another program ends the worker with the controller.
    own_user
        Whether the worker runs in its own user namespace or as a user of its own.
    segment
        Inherited file descriptor of the shared memory; None if there is none.
    cores
        Logical processors to pin the worker to; empty for no pinning.
    """
    tie = [*(["--own-user"] if own_user else []), *([] if parent is None else ["--parent", str(parent)])]
    shared = [] if segment is None else ["--segment", str(segment)]
    bound = ["--cores", ",".join(map(str, cores))] if cores else []
    return [str(python), "-m", "harness.worker.main", "--fd", str(fd), *shared, *bound, "--limits", limits, *tie]
