"""Loaders of files that are not checkpoints of a known architecture; they run in the worker."""
