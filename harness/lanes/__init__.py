"""Lanes: the ways in which a network is executed. One run has one lane; rows of two are never ranked together."""

from harness.lanes.requirements import lane_problem

__all__ = ["lane_problem"]
