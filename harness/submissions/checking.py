"""Check submissions against the contract, each in a separate process, for ``harness check``.

The process protects against crashes and endless loops. It is not a sandbox: check only code that you trust.
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
    """Findings for one submission at one scale; ``scale`` is None if the submission could not be read."""

    name: str
    scale: int | None
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)


def check_path(
    path: Path,
    *,
    scale: int | None = None,
    timeout_s: float = 120.0,
    install: bool = False,
    wheels: Path | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> list[Check]:
    """Check every submission at ``path``.

    Parameters
    ----------
    path
        Folder of a submission, a zip file, or a folder of either.
    scale
        Scale to check; all declared scales by default.
    timeout_s
        Time limit per submission for all its scales together, seconds.
    install
        Whether to create the environment that a submission requires, and to check it there.
    wheels
        Folder of wheels to install from instead of an index.
    notify
        Called with a message before packages are installed.

    Returns
    -------
    list of Check
        One per submission and scale.

    Raises
    ------
    UsageError
        There is no submission, or none that supports `scale`, or packages cannot be installed here.
    """
    check_options(install=install, wheels=wheels)
    checks: list[Check] = []
    for found in discover([path], entry_points=False):
        if isinstance(found, BrokenSubmission):
            checks.append(Check(found.name, None, (finding_of_error(found.error),)))
        elif scales := [s for s in found.manifest.scales if scale in (None, s)]:
            try:
                python = _python(found, wheels, notify) if install else Path(sys.executable)
            except UnsupportedError as error:
                checks.append(Check(found.name, None, (finding_of_error(error),)))
            else:
                checks += _in_process(found, scales, timeout_s, python)
    if not checks:
        raise UsageError(f"no submission supports x{scale}", where=str(path), hint="omit --scale to check all scales")
    return checks


def _python(submission: Submission, wheels: Path | None, notify: Callable[[str], None]) -> Path:
    def notify_for_submission(what: str) -> None:
        notify(f"{submission.name}: installing {what}")

    python, _ = python_for(submission.root, submission.manifest, wheels, notify_for_submission)
    return python or Path(sys.executable)


def _in_process(submission: Submission, scales: list[int], timeout_s: float, python: Path) -> list[Check]:
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder:
        report = Path(folder) / "report.jsonl"
        end = _run(_job(submission, scales, report), timeout_s, python)
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    records = [json.loads(line) for line in lines]  # the last one names the step in which the process ended
    checks = [
        Check(submission.name, record["scale"], tuple(Finding(**finding) for finding in record["findings"]))
        for record in records
        if "findings" in record
    ]
    if end is None and len(checks) < len(scales):  # submitted code called exit(0)
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
    """Keep the check at the scale that a submission without manifest turned out to have, or all if there is none."""
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
    """Run the job in a process; return a description of how it failed, or None if it succeeded."""
    command = [str(python), "-m", "harness.worker.check", json.dumps(job)]
    try:
        # The submission's output goes to standard error, because standard output is for the findings.
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
