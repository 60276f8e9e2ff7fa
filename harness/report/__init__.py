"""The report of a run: a page, figures and tables, made from the run's files alone."""

from harness.results.run_folder import RunFolder, load_run

__all__ = ["RunFolder", "load_run"]
