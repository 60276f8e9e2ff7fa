"""Loaders for weights without an architecture file: ONNX, ``torch.export`` and spandrel. They run in the worker."""
