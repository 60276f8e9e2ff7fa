"""The report of a run: a page, figures and tables, made from the run's files alone."""

from harness.report.page import build_report

__all__ = ["build_report"]
