"""The process that tries whether all loaders can be imported: ``python -m harness.worker.loaders``."""

from __future__ import annotations

import json

from harness.submissions.loaders import LOADERS

if __name__ == "__main__":
    print("\n" + json.dumps(LOADERS.faults()))  # noqa: T201  on a line of its own, after what the packages print
