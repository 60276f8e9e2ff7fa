"""Where programs are looked for."""

WORKER_PATH = "/usr/local/bin:/usr/bin:/bin"
"""``PATH`` of every worker, whatever the user's own is."""
