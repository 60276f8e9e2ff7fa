"""Stages that may fail without ending a submission: making the inference form, and counting operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.engines import Opener
from harness.errors import WorkerError
from harness.isolation.session import Session
from harness.results.measurement import CountPart
from harness.results.schema import NetworkForm, Reparam, ReparamPolicy
from harness.run import stages
from harness.run.form_choice import FormTimes, own_form
from harness.run.form_timing import time_forms
from harness.run.submission_worker import SubmissionWorker

Answer = TypeVar("Answer")
_AS_IT_IS = "not reparameterized, measured as it is"


@dataclass(slots=True)
class OptionalStages:
    """Asks a worker for results that a row can do without. A network that fails in one is measured all the same.

    If the worker ends meanwhile, another one takes its place. Breaches of the rules raise WorkerError, as elsewhere.

    Attributes
    ----------
    worker
        The submission's worker, with its network loaded.
    engine
        Starts another worker.
    notes
        Which results are missing, and why.
    """

    worker: SubmissionWorker
    engine: Opener
    notes: list[str] = field(default_factory=list)

    def reparameterize(
        self, frames: Sequence[NDArray[np.uint8]], policy: ReparamPolicy, sizes: Sequence[tuple[int, int]] = ()
    ) -> Reparam | None:
        """Make the inference forms of the network; None if it stays as it is because that failed.

        The last form is in use afterwards. With ``author``, the collapsed form is made too, to be named.
        """

        def convert(session: Session, *, automatic: bool) -> Reparam:
            # May give up: a search that takes most of the time limit ends, so that the network can still be measured.
            return session.reparameterize(frames, automatic=automatic, may_give_up=True, sizes=sizes)

        made = self._ask(_AS_IT_IS, lambda session: convert(session, automatic=True))
        # The automatic collapse may have failed; the author's own conversion alone may still succeed.
        if made is None and policy == "author":
            made = self._ask(_AS_IT_IS, lambda session: convert(session, automatic=False))
        if made is None:
            return None
        # Later processes collapse exactly these regions, so that all of them run the same network.
        self.worker.regions = self.worker.running.regions
        # A worker that is started for a later stage makes this form again.
        self.worker.form = made.forms[-1] if made.forms else None
        return made

    def count(self, shape: stages.InputShape, reparam: Reparam | None) -> tuple[CountPart, Reparam | None]:
        """Count the form in use, and the others.

        Parameters
        ----------
        shape
            N, C, H, W of the input.
        reparam
            The forms, if they are known.

        Returns
        -------
        tuple
            The counts that are known, and `reparam` with the operations of all forms.
        """
        # Numbers that submitted code could have forged are marked as such in the row.
        counted_by = stages.vouched_for(self.worker.submission)
        answer = self._ask("operations not counted", lambda session: stages.count(session, shape, counted_by))
        if answer is None:
            return (CountPart() if reparam is None else CountPart(params=reparam.params_after)), reparam
        counted, remark = answer
        if remark and remark not in self.notes:  # forms share what is no parameter
            self.notes.append(remark)
        if reparam is None or not reparam.forms:
            return counted, reparam
        # The last form is in use and was counted above.
        *others, used = reparam.forms
        forms = [self._counted(form, shape) for form in others]
        forms.append(used.model_copy(update={"macs": counted.macs, "activations": counted.activations}))
        return counted, reparam.model_copy(update={"forms": forms})

    def use(self, form: NetworkForm, shape: stages.InputShape) -> CountPart:
        """Measure another form than the last one, and count it for an input of N, C, H, W.

        Raises
        ------
        WorkerError
            A new process does not make that form either. The record names it, so no other one may be measured.
        """
        self.worker.form = form
        try:
            self.worker.running.use_form(form.name)
        except WorkerError as error:
            if error.kind in stages.BREACHES:
                raise
            self.notes.append(f"its form could not be changed ({error.what}), so a new process made it")
            self.worker.reopen(self.engine, self.worker.job())
        counted, _ = self.count(shape, None)
        return CountPart(params=form.params) if counted.params is None else counted

    def time_forms(self, reparam: Reparam, frame: NDArray[np.uint8]) -> FormTimes | None:
        """Time the authors' form and the collapsed one in turn; None if they cannot be timed."""
        names = own_form(reparam.forms).name, reparam.forms[-1].name
        return self._ask("its forms not timed", lambda session: time_forms(session, names, frame))

    def _counted(self, form: NetworkForm, shape: stages.InputShape) -> NetworkForm:
        reply = self._ask(
            f"operations of the form {form.name!r} not counted", lambda session: session.count(shape, form=form.name)
        )
        if reply is None:
            return form
        return form.model_copy(update={"macs": reply.macs, "activations": reply.activations})

    def _ask(self, failure: str, question: Callable[[Session], Answer]) -> Answer | None:
        try:
            return question(self.worker.running)
        except WorkerError as error:
            # A breach of the rules ends the submission even in a stage that it could do without.
            if error.kind in stages.BREACHES:
                raise
            self.notes.append(f"{failure}: {error.what}")
            if not self.worker.running.alive():
                self.worker.reopen(self.engine, self.worker.job())
            return None
