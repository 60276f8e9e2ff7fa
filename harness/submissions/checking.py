"""Try submissions against the contract, each in a process of its own: what ``harness check`` does.

The process protects from crashes and hangs of honest mistakes. It is no sandbox: check what you trust.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UnsupportedError, UsageError
from harness.submissions.discovery import discover
from harness.submissions.environments import check_options, python_for
from harness.submissions.finding import Finding, finding_of_error
from harness.submissions.submission import PROTOCOL_SCALES, BrokenSubmission, Submission


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one submission at one scale; ``scale`` is None where it could not even be read."""

    name: str
    scale: int | None
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing found is an error."""
        return all(finding.level != "error" for finding in self.findings)


def check_path(
    path: Path,
    *,
    scale: int | None = None,
    timeout_s: float = 120.0,
    install: bool = False,
    wheels: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Check]:
    """Check every submission at ``path`` at every scale that it declares, or at one.

    Parameters
    ----------
    path
        A submission's folder, a zip file, or a folder of either.
    scale
        The only scale to check; all by default.
    timeout_s
        Seconds that one submission may take at all its scales.
    install
        Make the environment that a submission requires, and check it there.
    wheels
        Folder of wheels to install from, instead of an index.
    tell
        Hears what is being installed.

    Raises
    ------
    UsageError
        There is no submission, or none of that scale; or nothing can be installed here.
    """
    check_options(install=install, wheels=wheels)
    checks: list[Check] = []
    for found in discover([path], entry_points=False):
        if isinstance(found, BrokenSubmission):
            checks.append(Check(found.name, None, (finding_of_error(found.error),)))
        elif scales := [s for s in found.manifest.scales if scale in (None, s)]:
            try:
                python = _python(found, wheels, tell) if install else Path(sys.executable)
            except UnsupportedError as error:
                checks.append(Check(found.name, None, (finding_of_error(error),)))
            else:
                checks += _in_process(found, scales, timeout_s, python)
    if not checks:
        raise UsageError(f"supports x{scale} nowhere", where=str(path), hint="leave --scale out to check every scale")
    return checks


def _python(submission: Submission, wheels: Path | None, tell: Callable[[str], None]) -> Path:
    def announce(what: str) -> None:
        tell(f"{submission.name}: installing {what}")

    python, _ = python_for(submission.root, submission.manifest, wheels, announce)
    return python or Path(sys.executable)


def _in_process(submission: Submission, scales: list[int], timeout_s: float, python: Path) -> list[Check]:
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder:
        report = Path(folder) / "report.jsonl"
        end = _run(_job(submission, scales, report), timeout_s, python)
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    records = [json.loads(line) for line in lines]
    checks = [
        Check(submission.name, record["scale"], tuple(Finding(**finding) for finding in record["findings"]))
        for record in records
        if "findings" in record
    ]
    if end is None and len(checks) < len(scales):
        end = "the process exited with 0"
    if end is not None:
        step = records[-1].get("step", "the end") if records else "its start"
        last = records[-1]["scale"] if records else scales[0]
        checks.append(Check(submission.name, last, (Finding("error", f"{end} at {step}", _HINT_END),)))
    return _one_scale(checks) if not _declares_scale(submission) else checks


_HINT_END = "look for exit(), an endless loop or native code there; its output is above"


def _declares_scale(submission: Submission) -> bool:
    return tuple(submission.manifest.scales) != PROTOCOL_SCALES or (submission.root / "submission.toml").is_file()


def _one_scale(checks: list[Check]) -> list[Check]:
    """Keep the scale that a submission without manifest turned out to have; all of them if it has none."""
    fitting = [
        check for check in checks if not any("upscales by" in f.what and f.level == "error" for f in check.findings)
    ]
    return fitting or checks


def _job(submission: Submission, scales: list[int], report: Path) -> dict[str, Any]:
    manifest = submission.manifest
    return {
        "root": str(submission.root),
        "factory": manifest.factory,
        "scales": scales,
        "weights": {str(scale): str(path) for scale in scales if (path := manifest.weights_for(scale))},
        "untrained": [scale for scale in scales if manifest.lacks_weights(scale)],
        "value_range": manifest.value_range,
        "size_multiple": manifest.size_multiple,
        "report": str(report),
    }


def _run(job: dict[str, Any], timeout_s: float, python: Path) -> str | None:
    """Run the job in a process and return how it ended, or None where it ended well."""
    command = [str(python), "-m", "harness.worker.check", json.dumps(job)]
    try:
        # What the submission prints goes where a person sees it, and not between the findings.
        status = subprocess.run(command, stdout=sys.stderr, timeout=timeout_s, check=False).returncode
    except subprocess.TimeoutExpired:
        return f"did not finish within {timeout_s:g} s"
    if status == 0:
        return None
    return (
        f"the process was killed by {signal.Signals(-status).name}"
        if status < 0
        else f"the process exited with {status}"
    )
