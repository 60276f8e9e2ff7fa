"""What an earlier run left of a submission, and whether it still counts."""

from __future__ import annotations

from harness.results import Measurement, RunStore
from harness.run.plan import Plan, PlannedSubmission


class ResumePolicy:
    """Decides which stored measurements are reused.

    Parameters
    ----------
    plan
        The run.
    store
        Measurements of earlier runs in the same folder.
    """

    def __init__(self, plan: Plan, store: RunStore) -> None:
        self._plan = plan
        self._store = store

    def finished(self, planned: PlannedSubmission) -> Measurement | None:
        """Return the stored measurement of a submission; None if it must be measured."""
        stored = self._store.measurement(planned.fingerprint)
        if stored is None or self._may_end_differently(stored) or self._lacks_images(planned, stored):
            return None
        return stored

    def unfinished(self, planned: PlannedSubmission) -> Measurement | None:
        """Return what a run had timed of a submission before it was stopped; None if it had timed nothing."""
        stored = self._store.unfinished(planned.fingerprint)
        return stored if stored is not None and stored.timing is not None else None

    def processes_done(self, planned: PlannedSubmission) -> int:
        """Return in how many processes a submission was timed before its run was stopped."""
        stored = self.unfinished(planned)
        if stored is None or stored.timing is None:
            return 0
        return 1 + max((turn.process for turn in stored.timing.rounds), default=0)

    def _lacks_images(self, planned: PlannedSubmission, stored: Measurement) -> bool:
        """Return whether the run keeps upscaled images that are not all in its folder."""
        outputs = self._plan.outputs_of(planned)
        return outputs is not None and stored.status == "ok" and not outputs.is_complete(self._plan.dataset.names)

    def _may_end_differently(self, stored: Measurement) -> bool:
        """Return whether a failed submission is worth another attempt, for example because a package was installed."""
        if stored.error is not None and stored.error.type == "UnsupportedError":
            return True
        if stored.error is not None and stored.error.type == "CheckpointError" and self._plan.request.trust_pickle:
            return True
        return self._plan.request.retry_failed and stored.status in {"failed", "disqualified"}
