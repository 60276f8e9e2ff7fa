"""Backends: the ways in which a network is executed. One run has one backend; rows of two are never ranked together."""

from harness.backends.requirements import backend_problem

__all__ = ["backend_problem"]
