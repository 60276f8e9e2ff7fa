"""The stored results of a run: schema, store, fingerprints, comparison."""
