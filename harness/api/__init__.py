"""The functions and classes of the public interface, which :mod:`harness` offers under short names.

Networks that are given as ``torch.nn.Module`` are the caller's own: they run in the caller's process.
"""
