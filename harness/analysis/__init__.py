"""What is computed from stored runs: comparisons of models and of runs, another summary of the same samples."""
