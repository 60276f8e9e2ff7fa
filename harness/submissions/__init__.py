"""What is measured: manifests, discovery, archives, checkpoints, loading and the contract of a submission."""
