"""Where workers run: on this machine, or wherever an installed package runs them.

`harness.engines.inline` is not imported here: it runs the worker's code in the process of its caller.
"""

from harness.engines.engine import Engine, Opener, Shared
from harness.engines.local import LocalEngine
from harness.engines.place import Place
from harness.engines.prefetch import PrefetchingEngine
from harness.engines.registry import ENGINES, connected, get_engine
from harness.isolation.job import Job

__all__ = [
    "ENGINES",
    "Engine",
    "Job",
    "LocalEngine",
    "Opener",
    "Place",
    "PrefetchingEngine",
    "Shared",
    "connected",
    "get_engine",
]
