"""What a backend needs of the machine, found out without importing it."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from harness.results.schema import Backend

BACKENDS_WITHOUT_BUILD = ("eager", "channels_last")
"""Backends that call the network as it is; the others compile, export or record it first."""

_WORKER_PATH = "/usr/local/bin:/usr/bin:/bin"  # where a worker looks for programs
_COMPILER = "g++"  # which Inductor calls unless it is told otherwise


def backend_problem(backend: Backend, device: str) -> tuple[str, str] | None:
    """Return what is missing for `backend` on `device` and how to get it; None where nothing is.

    Parameters
    ----------
    backend
        How networks are to be executed.
    device
        ``cpu``, or as torch names it.
    """
    kind = device.split(":", maxsplit=1)[0]
    if backend == "compile":
        return _compile_problem(kind)
    if backend == "cuda-graph" and kind != "cuda":
        return f"captures a CUDA graph, and the device is {kind}", "run on an NVIDIA card, or choose another --backend"
    if backend == "onnxruntime":
        return _onnxruntime_problem(kind)
    if backend == "tensorrt":
        return _tensorrt_problem(kind)
    return None


def _compile_problem(kind: str) -> tuple[str, str] | None:
    if kind != "cpu":
        if find_spec("triton") is None:
            return "needs Triton to compile for an accelerator", "pip install triton"
        return None
    if shutil.which(_COMPILER, path=_WORKER_PATH) is None:
        how = "apt install g++, or dnf install gcc-c++" if sys.platform.startswith("linux") else "install GCC"
        return f"needs a C++ compiler: {_COMPILER} is not in {_WORKER_PATH}", how
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"compiles against Python's headers: {header} is not there", "apt install python3-dev"
    return None


def _onnxruntime_problem(kind: str) -> tuple[str, str] | None:
    if kind != "cpu":
        return f"runs on the CPU here, and the device is {kind}", "run with --device cpu, or choose another --backend"
    missing = [package for package in ("onnx", "onnxruntime", "onnxscript") if find_spec(package) is None]
    if missing:
        return f"needs {', '.join(missing)}", 'pip install "sr-harness[onnx]"'
    return None


def _tensorrt_problem(kind: str) -> tuple[str, str] | None:
    if kind != "cuda":
        return (
            f"builds a TensorRT engine, and the device is {kind}",
            "run on an NVIDIA card, or choose another --backend",
        )
    if find_spec("torch_tensorrt") is None:
        return "needs torch_tensorrt", 'pip install "sr-harness[tensorrt]"'
    return None
