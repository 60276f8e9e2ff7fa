"""Divides by zero while it is imported."""

1 / 0
