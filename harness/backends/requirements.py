"""What the backends of the harness need of the machine, found out without importing them."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from harness.machine.search_path import WORKER_PATH

_COMPILER = "g++"  # which Inductor calls unless it is told otherwise


def cuda_graph_problem(kind: str) -> tuple[str, str] | None:
    """Return what ``cuda-graph`` lacks on a kind of device and how to get it; None where nothing is missing."""
    if kind != "cuda":
        return f"captures a CUDA graph, and the device is {kind}", "run on an NVIDIA card, or choose another --backend"
    return None


def compile_problem(kind: str) -> tuple[str, str] | None:
    """Return what ``compile`` lacks on a kind of device and how to get it; None where nothing is missing."""
    if kind != "cpu":
        if find_spec("triton") is None:
            return "needs Triton to compile for an accelerator", "pip install triton"
        return None
    if shutil.which(_COMPILER, path=WORKER_PATH) is None:
        how = "apt install g++, or dnf install gcc-c++" if sys.platform.startswith("linux") else "install GCC"
        return f"needs a C++ compiler: {_COMPILER} is not in {WORKER_PATH}", how
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"compiles against Python's headers: {header} is not there", "apt install python3-dev"
    return None


def onnxruntime_problem(kind: str) -> tuple[str, str] | None:
    """Return what ``onnxruntime`` lacks on a kind of device and how to get it; None where nothing is missing."""
    if kind != "cpu":
        return f"runs on the CPU here, and the device is {kind}", "run with --device cpu, or choose another --backend"
    missing = [package for package in ("onnx", "onnxruntime", "onnxscript") if find_spec(package) is None]
    if missing:
        return f"needs {', '.join(missing)}", f"python -m pip install {' '.join(missing)}"
    return None


def tensorrt_problem(kind: str) -> tuple[str, str] | None:
    """Return what ``tensorrt`` lacks on a kind of device and how to get it; None where nothing is missing."""
    if kind != "cuda":
        return (
            f"builds a TensorRT engine, and the device is {kind}",
            "run on an NVIDIA card, or choose another --backend",
        )
    if find_spec("torch_tensorrt") is None:
        return "needs torch_tensorrt", "python -m pip install torch-tensorrt"
    return None
