"""Backends: the ways in which a network is executed. A run may have several; rows of two are never ranked together."""

from harness.backends.backend import BACKENDS, Backend, backend_problem

__all__ = ["BACKENDS", "Backend", "backend_problem"]
