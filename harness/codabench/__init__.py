"""Competitions for Codabench: bundles that run this package as their programs, a validator, and a local run."""

from harness.codabench.bundle import BundleRequest, write_bundle
from harness.codabench.check import Finding, check_bundle
from harness.codabench.local_run import LocalRun, run_bundle

__all__ = ["BundleRequest", "Finding", "LocalRun", "check_bundle", "run_bundle", "write_bundle"]
