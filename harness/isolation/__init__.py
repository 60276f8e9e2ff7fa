"""Where submitted code runs: worker process, sandbox, and the framed messages between it and the controller."""
