"""Lanes: the ways in which a network is executed. One run has one lane; rows of two are never ranked together."""

from harness.lanes.requirements import lane_problem
from harness.lanes.runner import Runner, make_runner

__all__ = ["Runner", "lane_problem", "make_runner"]
