"""The worker process: harness code that runs in the same process as submitted code."""
