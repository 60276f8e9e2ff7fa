"""What an earlier run left of a submission, and whether it still counts."""

from __future__ import annotations

from harness.results import Measurement, RunStore
from harness.run.further_quality import missing_datasets
from harness.run.plan import Plan, PlannedSubmission

FILES_CHANGED = "FilesChanged"
"""Type of the error of a submission whose files were changed while it was measured."""


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
        stored = self.stored(planned)
        if stored is None or self._may_end_differently(stored) or self._lacks_images(planned, stored):
            return None
        return stored

    def stored(self, planned: PlannedSubmission) -> Measurement | None:
        """Return the stored measurement of a submission, also of one that is to be measured again; None without one.

        One that lacks some of the run's data sets has no row beside complete ones.
        """
        stored = self._store.measurement(planned.fingerprint)
        return None if stored is None or self._lacks_datasets(stored) else stored

    def unfinished(self, planned: PlannedSubmission) -> Measurement | None:
        """Return what a run had timed of a submission before it was stopped; None if it had timed nothing.

        A finished measurement that lacks some of the run's data sets is unfinished, too.
        """
        finished = self._store.measurement(planned.fingerprint)
        # The run was started again with a further data set: only its images are missing.
        if finished is not None and finished.images and self._lacks_datasets(finished):
            return None if self._lacks_images(planned, finished) else finished
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
        # Outputs of a row that failed are not needed.
        if stored.status != "ok" or not self._plan.request.save_images:
            return False
        lacking = {one.label for one in missing_datasets(self._plan, stored)}
        first, *further = self._plan.datasets
        # The images of the first data set are in the folder itself, see `Plan.outputs_of`.
        expected = [("", first), *((one.label, one) for one in further if one.label not in lacking)]
        kept = [(self._plan.outputs_of(planned, label), one.dataset.names) for label, one in expected]
        return not all(outputs is not None and outputs.is_complete(names) for outputs, names in kept)

    def _lacks_datasets(self, stored: Measurement) -> bool:
        return stored.status == "ok" and bool(missing_datasets(self._plan, stored))

    def _may_end_differently(self, stored: Measurement) -> bool:
        """Return whether a failed submission is worth another attempt, for example because a package was installed."""
        # A package that was missing may be installed now, which no fingerprint shows: it is tried again in every run.
        # Files that were changed may be as they were.
        if stored.error is not None and stored.error.type in {"UnsupportedError", FILES_CHANGED}:
            return True
        # The checkpoint may have been refused as a pickle, and this run permits pickles.
        if stored.error is not None and stored.error.type == "CheckpointError" and self._plan.request.trust_pickle:
            return True
        return self._plan.request.retry_failed and stored.status in {"failed", "disqualified"}
