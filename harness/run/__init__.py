"""The controller's steps: plan, scheduling, one submission's run, timing, quality, progress."""
