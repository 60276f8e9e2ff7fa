"""Choose the form of one network that is measured, and name the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from harness.engines import PrefetchingEngine
from harness.results.measurement import CountPart
from harness.results.schema import FormName, NetworkForm, Reparam
from harness.run.form_choice import FormChoice, FormTimes, choose, choose_by_time, chosen, scored_figures
from harness.run.optional_stages import OptionalStages
from harness.run.plan import Plan


class Report(Protocol):
    """Receives what a submission's stage is doing."""

    def __call__(self, stage: str, detail: str = "") -> None:
        """Report a stage."""


def as_loaded(params: int) -> Reparam:
    """Return the record of a network that is measured as it was submitted because the run asks for that."""
    form = NetworkForm(name="loaded", method="none", params=params)
    return Reparam(
        method="none", params_before=params, params_after=params, policy="none", form="loaded", forms=[form],
        reason="every network is measured as it was submitted",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FormSelection:
    """Chooses between the forms of one network.

    Attributes
    ----------
    plan
        The run.
    optional
        Asks the worker, which uses the last of the forms.
    reparam
        All forms, counted.
    engine
        Starts no worker while two forms are timed.
    report
        Receives progress.
    """

    plan: Plan
    optional: OptionalStages
    reparam: Reparam
    engine: PrefetchingEngine
    report: Report

    def choose(self, counted: CountPart, wanted: FormName | None) -> tuple[Reparam, CountPart]:
        """Let the worker use the form to measure, and return the record and the counts of that form.

        Parameters
        ----------
        counted
            Counts of the last form.
        wanted
            Form that an earlier run chose; None to choose one.
        """
        policy, times = self.plan.reparam_policy, None
        choice = self._again(wanted) or choose(policy, self.reparam.forms, scored_figures(self.plan.track))
        # The collapse saves too little to be preferred by its counts, so both forms are timed.
        if choice is None:
            times = self._times()
            choice = choose_by_time(self.reparam.forms, times)
        record = chosen(self.reparam, policy, choice, times)
        used = next(form for form in record.forms if form.name == choice.form)
        # The worker uses the last form after `reparameterize`. Timing both forms may have left the other one in use.
        if times is None and used == record.forms[-1]:
            return record, counted  # it is in use
        return record, self.optional.use(used, self.plan.track.input_shape)

    def _again(self, wanted: FormName | None) -> FormChoice | None:
        if wanted is None or all(form.name != wanted for form in self.reparam.forms):
            return None
        return FormChoice(wanted, "chosen when this run was started first")

    def _times(self) -> FormTimes | None:
        """Time both forms while no worker starts."""
        self.report("reparameterize", "timing both forms")
        self.engine.hold()
        try:
            return self.optional.time_forms(self.reparam, self.plan.timing_frames()[0])
        finally:
            self.engine.release()
