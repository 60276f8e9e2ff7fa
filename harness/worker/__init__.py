"""The submission's end of a run: code that executes next to submitted code, in the worker process."""
