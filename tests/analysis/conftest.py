"""Fixtures that measure a small run, shared with the tests of runs."""

from run.conftest import _hurried, images, request_for, submit, tiny_track

__all__ = ["_hurried", "images", "request_for", "submit", "tiny_track"]
