"""Where workers run: this machine, or the caller's own process for tests."""

from harness.engines.ahead import Ahead
from harness.engines.engine import Engine
from harness.engines.inline import InlineEngine
from harness.engines.local import LocalEngine
from harness.engines.registry import get_engine
from harness.isolation.job import Job

__all__ = ["Ahead", "Engine", "InlineEngine", "Job", "LocalEngine", "get_engine"]
