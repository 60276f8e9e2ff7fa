"""Train the networks in submissions/ on a CPU. This package is not installed with the harness."""
