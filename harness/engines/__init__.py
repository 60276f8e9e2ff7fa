"""Where workers run: this machine, or the caller's own process for tests."""

from harness.engines.engine import Engine
from harness.engines.inline import InlineEngine
from harness.engines.local import LocalEngine
from harness.engines.prefetch import PrefetchingEngine
from harness.engines.registry import get_engine
from harness.isolation.job import Job

__all__ = ["Engine", "InlineEngine", "Job", "LocalEngine", "PrefetchingEngine", "get_engine"]
