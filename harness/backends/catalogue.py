"""The backends that come with the harness."""

from __future__ import annotations

from harness.backends.backend import Backend
from harness.backends.requirements import compile_problem, cuda_graph_problem, onnxruntime_problem, tensorrt_problem

EAGER = Backend("harness.backends.runner:Eager", builds=False)
CHANNELS_LAST = Backend("harness.backends.runner:ChannelsLast", builds=False)
COMPILE = Backend("harness.backends.compiled:Compiled", compile_problem)
CUDA_GRAPH = Backend("harness.backends.cuda_graph:CudaGraph", cuda_graph_problem)
ONNXRUNTIME = Backend(
    "harness.backends.onnx_runtime:OnnxRuntime", onnxruntime_problem, ("onnx", "onnxruntime", "onnxscript")
)
TENSORRT = Backend("harness.backends.tensorrt:TensorRT", tensorrt_problem, ("torch-tensorrt",))
