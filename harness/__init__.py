"""Benchmark real-time image super-resolution networks, from a folder of submissions to a leaderboard."""

__version__ = "0.1.0"
