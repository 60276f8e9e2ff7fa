"""The process that ``harness check`` starts: load one submission and check it against the contract."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import SubmissionError
from harness.submissions.finding import Finding, finding_of_error


def _main(job: dict[str, Any]) -> None:
    """Check one submission at its scales, in this process, and write one line of JSON per step to the report."""
    with Path(job["report"]).open("w", encoding="utf-8") as report:

        def write(**record: object) -> None:
            # Flushed, so that the report names the step in which submitted code crashed or hung.
            report.write(json.dumps(record) + "\n")
            report.flush()

        write(scale=job["scales"][0], step="importing torch")
        for scale in job["scales"]:
            write(scale=scale, step=f"loading at x{scale}")
            findings: list[Finding] = []
            for finding in _findings(job, scale):
                findings.append(finding)
                write(scale=scale, step=f"running it at x{scale}")
            write(scale=scale, findings=[asdict(finding) for finding in findings])


def _findings(job: dict[str, Any], scale: int) -> Iterable[Finding]:
    from harness.worker.contract import check_network  # imports torch, which is a step of its own
    from harness.worker.loader import load

    weights = job["weights"].get(str(scale))
    try:
        loaded = load(Path(job["root"]), job["factory"], scale, Path(weights) if weights else None)
    except SubmissionError as error:
        yield finding_of_error(error)
        return
    yield Finding("ok", f"loads{f', weights from {weights}' if weights else ''}")
    yield from (Finding("warn", note) for note in loaded.notes)
    untrained = scale in job["untrained"]
    if untrained:
        yield Finding("warn", f"has no weights for x{scale}: it is measured but not scored", "add them under [weights]")
    yield from check_network(loaded.network, scale, job["value_range"], job["size_multiple"], trained=not untrained)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
