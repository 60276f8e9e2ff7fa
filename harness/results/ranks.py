"""What a run says if no row of it has a rank."""

from __future__ import annotations

from harness.results.schema import Run


def why_no_rank(run: Run) -> str | None:
    """Return why no submission has a rank; None if one has, or if the run has no submissions."""
    submissions = [entry for entry in run.entries if entry.kind == "submission"]
    if not submissions or any(entry.rank is not None for entry in submissions):
        return None
    scored = [entry for entry in submissions if entry.score is not None]
    if not scored:
        return "no rank: no submission has a score"
    if any(entry.failed_gates for entry in scored):
        return "no rank: no submission passes the gates of the track"
    if all(entry.backend != run.protocol.backend for entry in scored):
        return f"no rank: no submission runs on backend {run.protocol.backend}"
    # What is left of the conditions of `scoring._is_ranked`. `report.verdict` looks for these words.
    return "no rank: no submission is better than bicubic interpolation"
