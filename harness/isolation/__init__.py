"""The controller's end of a worker process: launcher, sandbox, limits, and the messages exchanged with it."""
