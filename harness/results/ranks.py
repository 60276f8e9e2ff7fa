"""What a run says if no row of it has a rank."""

from __future__ import annotations

from collections import Counter

from harness.results.schema import Entry, Run

# What the sentence says if it holds for all submissions, for one of several, and for some of them.
_GATES = ("passes the gates of the track", "misses a gate of the track", "miss a gate of the track")
_BICUBIC = (
    "is better than bicubic interpolation",
    "is not better than bicubic interpolation",
    "are not better than bicubic interpolation",
)
_ZERO = ("has a score above 0", "has a score of 0", "have a score of 0")
_NO_SCORE = ("has a score", "has no score", "have no score")


def why_no_rank(run: Run) -> str | None:
    """Return why no submission has a rank; None if one has, or if the run has no submissions.

    A reason that does not hold for all submissions is given with the number of those for which it does.
    """
    submissions = [entry for entry in run.entries if entry.kind == "submission"]
    if not submissions or any(entry.rank is not None for entry in submissions):
        return None
    if all(entry.score is None for entry in submissions):
        return "no rank: no submission has a score"
    # Variants never have a rank. Each network counts once, by the row that could have one.
    measured = [entry for entry in submissions if entry.status == "ok"]
    own = [entry for entry in measured if not entry.variant_of] or measured
    reasons = Counter(_reason(entry, run) for entry in own)
    if len(reasons) == 1:
        (everywhere, _, _), *_ = reasons
        return f"no rank: no submission {everywhere}"
    (first, count), *others = reasons.most_common()
    parts = [f"{count} {'submission' if count == 1 else 'submissions'} {first[1 if count == 1 else 2]}"]
    parts += [f"{count} {reason[1 if count == 1 else 2]}" for reason, count in others]
    return f"no rank: {', '.join(parts)}"


def beaten_by_bicubic(run: Run) -> bool:
    """Return whether no submission of a run has a rank because none is better than bicubic interpolation."""
    return why_no_rank(run) == f"no rank: no submission {_BICUBIC[0]}"


def _reason(entry: Entry, run: Run) -> tuple[str, str, str]:
    """Return the first condition of `scoring._is_ranked` that a row misses."""
    if entry.score is None:
        return _NO_SCORE
    if entry.failed_gates:
        return _GATES
    backend = run.protocol.backend
    if entry.backend != backend:
        return f"runs on backend {backend}", f"does not run on backend {backend}", f"do not run on backend {backend}"
    # Some formulas are 0 for networks that are better than bicubic.
    delta = entry.delta_psnr_bicubic
    return _ZERO if entry.score == 0 and (delta is None or delta > 0) else _BICUBIC
