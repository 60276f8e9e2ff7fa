"""The machine that networks run on: devices, locks, GPU state, cores, load, diagnostics."""
