"""Measure the submissions of a run on several places at the same time.

The controller gives tasks to a trusted process on each machine (:mod:`harness.run.site`) and stores what comes back at
once, so that a run that is killed continues from there. What a machine was doing when it was lost is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace

from harness.engines import Engine, Shared
from harness.engines.place import title
from harness.errors import MachineLostError, UsageError, WorkerError
from harness.run import site
from harness.run.context import EarlierTiming, RunContext, timing_of
from harness.run.dispatcher import Assignment, Dispatcher, Slot
from harness.run.places import may_time
from harness.run.plan import Plan
from harness.run.planned import PlannedSubmission
from harness.run.preparation import Preparation
from harness.run.sending import send_plan
from harness.run.task_files import take_over_files
from harness.run.tasks import Briefing, Outcome, Report, Task, Timed
from harness.run.timing_order import order_of
from harness.submissions.discovery import Submission
from harness.submissions.parcel import Parcel, pack

_LOOK_S = 0.5  # interval at which the progress of the places is read
_MOST_RESTARTS = 2  # of the process on one machine
_STOP_S = 30.0  # until the workers of all machines have ended

Wait = Callable[[Collection["Future[Outcome]"], float], Collection["Future[Outcome]"]]


def wait_for_first(futures: Collection[Future[Outcome]], timeout_s: float) -> Collection[Future[Outcome]]:
    """Return those that have ended when the first one does, or none after `timeout_s` seconds."""
    return wait(futures, timeout_s, FIRST_COMPLETED).done


def measure_everywhere(context: RunContext, engine: Engine, waiting: Wait = wait_for_first) -> None:
    """Measure every submission of a run, or reuse its stored measurement.

    Parameters
    ----------
    context
        The run: its plan has the places. Measurements are recorded here.
    engine
        Reaches the machines of the places.
    waiting
        Waits for tasks.

    Raises
    ------
    MachineLostError
        No place is left that can do what is to do. What is measured is stored.
    """
    require_supported(context.plan)
    preparation = Preparation(context)
    pending = [planned for planned in context.plan.submissions if preparation.needs_worker(planned)]
    if pending:
        run = _EverywhereRun(context, engine, pending, waiting)
        try:
            run.carry_on()
        finally:
            run.end()


def require_supported(plan: Plan) -> None:
    """Check that a run with several places can do what is asked.

    Raises
    ------
    UsageError
        It cannot.
    """
    if plan.request.verify_graph:
        hint = "choose one with --device, such as --device cuda:0"
        raise UsageError("--verify-graph times networks beside their images, on one device only", hint=hint)


@dataclass(slots=True)
class _Machine:
    """A machine with its connection."""

    executor: Executor
    places: int
    restarts: int = 0
    reports: Future[list[Report]] | None = None


class _EverywhereRun:
    """The state of the controller while places work."""

    def __init__(
        self, context: RunContext, engine: Engine, pending: Sequence[PlannedSubmission], waiting: Wait
    ) -> None:
        self._context = context
        self._engine = engine
        self._waiting = waiting
        self._planned = {planned.submission.slug: planned for planned in pending}
        # Networks of an earlier run that only lack their images are measured without being timed again.
        self._timed = self._stored_timings()
        plan = context.plan
        together = order_of(plan.protocol).loads_together
        # Without rounds there is no anchor by which the times of two devices could be compared.
        slots = [
            Slot(number, place.machine, may_time(place, plan.device) and (together or number == 0))
            for number, place in enumerate(plan.places)
        ]
        to_time = [slug for slug in self._planned if slug not in self._timed]
        self._dispatcher = Dispatcher(slots, to_time, list(self._timed), together=together)
        self._machines = {machine: self._connect(machine) for machine in dict.fromkeys(p.machine for p in plan.places)}
        if not engine.shares_files:
            context.progress.stage("", "wait", "for the data sets to be read and sent")
        # Goes with every task. Where files are not shared, its data sets are references that each machine resolves
        # once.
        self._briefing = Briefing(send_plan(plan, engine), engine.on_site(), engine.shares_files)
        # Files of a submission are read when it is first sent, so that those of finished ones are never read.
        self._parcels: dict[str, Shared[Parcel] | None] = {}
        self._running: dict[Future[Outcome], tuple[Slot, Task]] = {}

    def carry_on(self) -> None:
        """Assign tasks and collect their results until all is measured."""
        while not self._dispatcher.is_done:
            self._give_out()
            if self._dispatcher.is_stuck:
                hint = "what is measured is stored: start the machines again, and the same command goes on from here"
                raise MachineLostError("no place is left that can do what is to do", hint=hint)
            ended = self._waiting(list(self._running), _LOOK_S)
            for future in sorted(ended, key=lambda one: one.exception() is not None):  # what is done is kept first
                self._take(future)
            self._look_at_progress()

    def end(self) -> None:
        """End what still runs, on all machines."""
        if self._running:
            stops = []
            for machine in self._machines.values():
                with suppress(Exception):  # the machine may be lost
                    stops.append(machine.executor.submit(site.stop))
            # `shutdown` would cancel a stop that has not begun, and then wait for the tasks to end by themselves.
            wait(stops, _STOP_S)
        for machine in self._machines.values():
            machine.executor.shutdown(wait=True, cancel_futures=True)

    def _stored_timings(self) -> dict[str, Timed]:
        """Return what an earlier run has timed to the end."""
        found = {}
        for slug, planned in self._planned.items():
            earlier = self._context.resume.unfinished(planned)
            if earlier is not None and earlier.timing is not None and earlier.timing.remaining_work is None:
                found[slug] = Timed(earlier)
        return found

    def _connect(self, machine: str) -> _Machine:
        places = sum(place.machine == machine for place in self._context.plan.places)
        return _Machine(self._engine.executor(machine, places), places)

    def _give_out(self) -> None:
        for slot in self._dispatcher.idle():
            assignment = self._dispatcher.assign(slot)
            # An assignment whose submissions cannot be read is finished at once, and the slot asks for another.
            while assignment is not None:
                task = self._task(slot, assignment)
                if task is not None:
                    self._submit(slot, task)
                    break
                self._dispatcher.finish(slot)  # nothing of it can be sent: it has failed
                assignment = self._dispatcher.assign(slot)

    def _submit(self, slot: Slot, task: Task) -> None:
        crops = self._context.plan.folder / "crops" / "crops.json"
        # The crops that were chosen so far, so that all places keep the same ones.
        briefing = replace(self._briefing, crops=crops.read_bytes() if crops.is_file() else None)
        future = self._machines[slot.machine].executor.submit(site.carry_out, briefing, task)
        self._running[future] = slot, task

    def _task(self, slot: Slot, assignment: Assignment) -> Task | None:
        """Return the task of a slot; None if none of its submissions can be sent."""
        place = self._context.plan.places[slot.number]
        # Whether their files have changed is found out here, when their measurements come back.
        sent = [replace(self._planned[slug], files=None) for slug in assignment.slugs if self._send(slug)]
        if not sent:
            return None
        parcels = {slug: parcel for slug in assignment.slugs if (parcel := self._parcels.get(slug)) is not None}
        # Images must come from the network that was timed, so its timed output goes with the task.
        timed = self._timed[assignment.slugs[0]] if assignment.kind == "measure" else None
        earlier = self._timings_of(title(place)) if assignment.kind == "time" else ()
        return Task(assignment.kind, place.on_site(), title(place), tuple(sent), parcels, timed, earlier)

    def _timings_of(self, place: str) -> tuple[EarlierTiming, ...]:
        """Return what was timed at a place so far."""
        waiting = [(self._planned[slug], timed.measurement) for slug, timed in self._timed.items()]
        found = [timing_of(*one) for one in (*self._context.measurements(), *waiting)]
        return tuple(one for one in found if one is not None and one.record.place == place)

    def _send(self, slug: str) -> bool:
        """Make the files of a submission available to all machines, once; return False if they cannot be read."""
        if self._engine.shares_files or slug in self._parcels:
            return True
        planned = self._planned[slug]
        assert isinstance(planned.submission, Submission)
        try:
            parcel = pack(planned.submission)
        except Exception as error:  # noqa: BLE001  # what concerns the run is raised again
            self._context.record_failure(planned, error)
            return False
        self._parcels[slug] = None if parcel is None else self._engine.share(parcel)
        return True

    def _take(self, future: Future[Outcome]) -> None:
        """Store the results of a task; if its machine was lost, schedule it again."""
        if future not in self._running:  # its machine was lost meanwhile
            return
        slot, task = self._running[future]
        try:
            outcome = future.result()
        except MachineLostError:
            self._lose(slot.machine)
            return
        # Only after the result is known: `_lose` finds the tasks of a lost machine among the running ones.
        del self._running[future]
        # Files first: a stored measurement says that they are complete.
        take_over_files(self._context.plan, task, outcome)
        for slug, measurement in outcome.finished.items():
            self._context.record(self._planned[slug], measurement)
            # It holds a frame and parts of outputs: 7 MB at 4K.
            self._timed.pop(slug, None)
        for slug, timed in outcome.timed.items():
            self._context.store.save_unfinished(timed.measurement)
            self._timed[slug] = timed
        self._dispatcher.finish(slot, outcome.timed)

    def _lose(self, machine: str) -> None:
        """Let all work of a machine be done again: there after a new start of its process, else elsewhere."""
        known = self._machines[machine]
        # Other tasks of the machine are lost as well; `_take` ignores what they may still return.
        self._running = {future: work for future, work in self._running.items() if work[0].machine != machine}
        known.reports = None
        # The machine may be fine and only the process gone, for example for its memory.
        known.restarts += 1
        reconnected = False
        if known.restarts <= _MOST_RESTARTS:
            with suppress(MachineLostError):
                known.executor = self._engine.executor(machine, known.places)
                reconnected = True
        what = f"for {machine}, which was lost" if reconnected else f"no longer for {machine}, which is lost"
        self._context.progress.stage("", "wait", what)
        for slug in self._dispatcher.lose(machine, for_good=not reconnected):
            what = "the machine was lost each time it was measured"
            self._context.record_failure(self._planned[slug], WorkerError(what, stage="prepare", kind="MachineLost"))

    def _look_at_progress(self) -> None:
        """Report what the places have reported since the last call."""
        for machine in self._machines.values():
            # Reports of a finished task may still come here; they only move the display.
            if machine.reports is not None and machine.reports.done():
                with suppress(Exception):  # a lost machine is found out by its tasks
                    for report in machine.reports.result():
                        self._report(report)
                machine.reports = None
            # One request at a time to each machine: a slow machine must not collect unanswered ones.
            if machine.reports is None and self._running:
                with suppress(Exception):
                    machine.reports = machine.executor.submit(site.drain)

    def _report(self, report: Report) -> None:
        progress = self._context.progress
        # `processes` is 0 in reports of stages other than timing.
        if report.processes:
            process = report.process, report.processes
            progress.timing(report.slug, *process, report.done, report.detail, place=report.place)
        else:
            progress.stage(report.slug, report.stage, report.detail, done=report.done, place=report.place)
