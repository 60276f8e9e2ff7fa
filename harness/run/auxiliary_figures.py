"""What a row can do without: the inference form and the counts of a network that works as it is."""

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
from harness.results.schema import Reparam
from harness.run import stages
from harness.run.submission_worker import SubmissionWorker

Answer = TypeVar("Answer")


@dataclass(slots=True)
class AuxiliaryFigures:
    """Asks a worker for figures that may be missing. A network that cannot give one is measured all the same.

    If the worker ends meanwhile, another one takes its place. Breaches of the rules raise WorkerError, as elsewhere.

    Attributes
    ----------
    worker
        The submission's worker, with its network loaded.
    engine
        Starts another worker.
    notes
        Which figures are missing, and why.
    """

    worker: SubmissionWorker
    engine: Opener
    notes: list[str] = field(default_factory=list)

    def reparameterize(self, frames: Sequence[NDArray[np.uint8]]) -> Reparam | None:
        """Convert the network into its inference form; None if the network stays as it is because that failed."""
        reparam = self._ask(
            "not reparameterized, measured as it is",
            lambda session: session.reparameterize(frames, may_give_up=True),
        )
        if reparam is not None:
            self.worker.reparameterizes = reparam.method != "none"
        return reparam

    def count(self, shape: stages.InputShape, reparam: Reparam | None) -> tuple[CountPart, Reparam | None]:
        """Count the form that is timed.

        Parameters
        ----------
        shape
            N, C, H, W of the input.
        reparam
            What became of the training form, if known.

        Returns
        -------
        tuple
            The counts that are known, and `reparam` with the operations of both forms.
        """
        counted_by = stages.vouched_for(self.worker.submission)
        counted = self._ask("operations not counted", lambda session: stages.count(session, shape, counted_by))
        if counted is None:
            return (CountPart() if reparam is None else CountPart(params=reparam.params_after)), reparam
        if reparam is None:
            return counted, None
        both = self._ask(
            "operations of the training form not counted",
            lambda session: stages.with_macs(session, shape, reparam, counted.macs),
        )
        return counted, both or reparam

    def _ask(self, failure: str, question: Callable[[Session], Answer]) -> Answer | None:
        try:
            return question(self.worker.running)
        except WorkerError as error:
            if error.kind in stages.BREACHES:
                raise
            self.notes.append(f"{failure}: {error.what}")
            # Later processes of the network must have the same form.
            self.worker.reparameterizes &= error.stage != "reparameterize"
            if not self.worker.running.alive():
                self.worker.reopen(self.engine, self.worker.job())
            return None
