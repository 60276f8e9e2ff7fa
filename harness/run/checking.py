"""Check submissions for ``harness check``: stages, sandbox and rules of a run, on two small images.

What depends on the size of the frames, such as time and memory, is found by a run only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data import get_degradation, open_dataset
from harness.engines import Engine, LocalEngine
from harness.errors import UsageError
from harness.isolation.fork_server import SERVERS_OF_THIS_PROCESS
from harness.isolation.requests import ANALYSIS_LIMIT_S
from harness.isolation.sandbox import Sandbox
from harness.machine.accelerator import accelerator_type
from harness.machine.cores import physical_cores
from harness.results import Measurement, RunStore
from harness.results.measurement import TOO_LONG
from harness.results.schema import CUT_SHORT, Reparam, ReparamPolicy
from harness.run.check_images import write_images
from harness.run.context import RunContext
from harness.run.group_timing import time_group
from harness.run.group_upscaling import upscale_group
from harness.run.plan import Plan, RunRequest, make_plan
from harness.run.progress import Listener, Progress, ProgressEvent, SubmissionFinished
from harness.run.scheduler import Scheduler
from harness.run.submission_run import SubmissionRun
from harness.submissions.discovery import discover
from harness.submissions.finding import Finding, finding_of_error
from harness.submissions.manifest import manifest_file
from harness.submissions.submission import PROTOCOL_SCALES, BrokenSubmission, Found, Submission
from harness.tracks import Track, track_for_scale

_TIMED_SIZE = (96, 128)
"""Height and width of the timed frames: larger than the images, so that outputs of both sizes are compared."""
# Below two seconds, so that each network is timed in one process, see `protocol_for`.
_BUDGET_S = 0.75
# Times are not reported: a few short turns are enough, whose outputs are compared.
_TURNS, _TURN_S, _ANCHOR_TURN_S = 5, 0.03, 0.015

_HINT_LIMIT = "--analysis-limit raises the limit"
_HINT_END = "look for exit(), an endless loop or native code there"


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What the user asked for; see the options of ``harness check``.

    ``size`` is the height and width of the frames that are timed, at which operations are counted. ``folder`` keeps
    what is measured, so that the same request continues where it was stopped; None keeps nothing. Without ``timed``,
    networks are loaded, counted and executed on images; their times and their outputs at other sizes are not checked.
    """

    path: Path
    scale: int | None = None
    device: str = "auto"
    timeout_s: float = 120.0
    sandbox: Sandbox = "auto"
    install: bool = False
    wheels: Path | None = None
    trust_pickle: bool = False
    reparam: ReparamPolicy | None = None
    analysis_limit_s: float = ANALYSIS_LIMIT_S
    size: tuple[int, int] = _TIMED_SIZE
    folder: Path | None = None
    timed: bool = True
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Findings for one submission at one scale.

    Attributes
    ----------
    name
        From the manifest.
    scale
        None if the submission could not be read.
    findings
        In the order of the stages.
    log
        What the submission printed, if it failed.
    measurement
        What was measured; None if the submission could not be read.
    """

    name: str
    scale: int | None
    findings: tuple[Finding, ...]
    log: str = ""
    measurement: Measurement | None = None

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)


OnChecked = Callable[[Sequence[Check]], None]


def check_path(
    request: CheckRequest,
    listeners: Sequence[Listener] = (),
    engine: Engine | None = None,
    on_checked: OnChecked = lambda _: None,
) -> list[Check]:
    """Check every submission at a path, one after another.

    Parameters
    ----------
    request
        Path, scale and options.
    listeners
        Called with every progress event.
    engine
        Starts workers; on this machine by default.
    on_checked
        Called with the checks of a submission as soon as the last of them is done.

    Returns
    -------
    list of Check
        One per submission and scale, in the order of the submissions.

    Raises
    ------
    UsageError
        There is no submission, or none that supports the scale, or the options cannot be followed here.
    """
    # Without entry points: only what is at the path is checked, no submission of an installed package.
    found = discover([request.path], only=request.only, exclude=request.exclude, entry_points=False)
    if engine is None:
        _prepare_workers(request)
    inbox = _Inbox(found, request.scale, on_checked)
    for scale in _scales(found, request.scale):
        supporting = [one for one in found if _supports(one, scale)]
        with _folder_of(request, scale) as folder:
            plan = _plan(request, scale, supporting, folder, engine)
            check_planned(plan, listeners, engine, inbox.add)
    if not inbox.checks:
        what = f"no submission supports x{request.scale}"
        raise UsageError(what, where=str(request.path), hint="omit --scale to check all scales")
    return inbox.checks


def _prepare_workers(request: CheckRequest) -> None:
    """Let the process from which workers are forked import torch, which takes as long as the rest of a check."""
    on_cpu = request.device == "cpu" or (request.device == "auto" and accelerator_type() is None)
    if on_cpu and request.sandbox != "none":
        SERVERS_OF_THIS_PROCESS.prepare(physical_cores())


class _Inbox:
    """Collects the checks of all submissions, and passes on those of each when they are complete.

    Parameters
    ----------
    found
        The submissions.
    wanted
        The only scale that is checked; None for all.
    on_checked
        Called with the checks of each submission.
    """

    def __init__(self, found: Sequence[Found], wanted: int | None, on_checked: OnChecked) -> None:
        self._found = {one.slug: one for one in found}
        self._on_checked = on_checked
        scales = _scales(found, wanted)
        self._to_come = {one.slug: sum(_supports(one, scale) for scale in scales) for one in found}
        self._checks: dict[str, list[Check]] = {one.slug: [] for one in found}
        for one in found:
            # No scale of it is checked, so its only check is complete already.
            if isinstance(one, BrokenSubmission):
                self._keep(one.slug, [Check(one.name, None, (finding_of_error(one.error),))])

    @property
    def checks(self) -> list[Check]:
        """All that is known, in the order of the submissions."""
        return [check for of_one in self._checks.values() for check in of_one]

    def add(self, slug: str, check: Check) -> None:
        """Take over the check of one submission at one scale."""
        self._to_come[slug] -= 1
        checks = [*self._checks[slug], check]
        # Scales are checked one after another, so that most submissions are complete only with the last scale.
        if self._to_come[slug]:
            self._checks[slug] = checks
        else:
            found = self._found[slug]
            is_open = isinstance(found, Submission) and not _declares_scale(found)
            self._keep(slug, _one_scale(checks) if is_open else checks)

    def _keep(self, slug: str, checks: list[Check]) -> None:
        self._checks[slug] = checks
        self._on_checked(checks)


def check_planned(
    plan: Plan,
    listeners: Sequence[Listener] = (),
    engine: Engine | None = None,
    on_check: Callable[[str, Check], None] = lambda _slug, _check: None,
) -> list[tuple[Check, Measurement]]:
    """Check what is planned, one submission after another, and return the findings with their measurements.

    Parameters
    ----------
    plan
        As of a run.
    listeners, engine
        As for :func:`check_path`.
    on_check
        Called with the slug of a submission and its check when its last stage has ended.
    """
    contract: dict[str, list[Finding]] = {}
    checks: dict[str, Check] = {}
    submissions = {planned.submission.slug: planned.submission for planned in plan.submissions}

    def conclude(event: ProgressEvent) -> None:
        if isinstance(event, SubmissionFinished):
            found, slug = contract.get(event.slug, []), event.slug
            checks[slug] = _check(submissions[slug], plan.track, event.measurement, found)
            on_check(slug, checks[slug])

    def check_contract(run: SubmissionRun) -> None:
        session = run.worker.running
        # Kept separately, because a measurement has no field for findings that do not end a submission.
        contract[run.slug] = [Finding(one.level, one.what, one.hint) for one in session.check()]
        session.pause()

    progress = Progress([*listeners, conclude])
    progress.start(plan.names, len(plan.dataset), plan.protocol.budget_s, plan.protocol.processes)
    with RunContext(plan, RunStore(plan.folder), engine or LocalEngine(), progress) as context:
        scheduler = Scheduler(context, one_by_one=True)
        for group in scheduler.prepare_groups():
            if plan.timed:
                for run in group:
                    progress.stage(run.slug, "prepare", "checking its outputs")
                # Checked in the same worker, before it is timed.
                group = [run for run in group if context.attempt(run, lambda run=run: check_contract(run))]  # type: ignore[misc]  # noqa: PLW2901
                time_group(group, context)
            upscale_group(group, context)
    progress.end()
    return [(checks[planned.submission.slug], measured) for planned, measured in context.measurements()]


def _scales(found: Sequence[Found], wanted: int | None) -> list[int]:
    declared = {scale for one in found if isinstance(one, Submission) for scale in one.manifest.scales}
    return sorted(scale for scale in declared if wanted in (None, scale))


def _supports(one: Found, scale: int) -> bool:
    return isinstance(one, Submission) and scale in one.manifest.scales


def _plan(request: CheckRequest, scale: int, submissions: Sequence[Found], folder: Path, engine: Engine | None) -> Plan:
    wanted = RunRequest(
        (request.path,),
        out=folder / "run",
        with_baselines=False,
        device=request.device,
        time_budget_s=_BUDGET_S,
        timeout_s=request.timeout_s,
        sandbox=request.sandbox,
        install=request.install,
        wheels=request.wheels,
        trust_pickle=request.trust_pickle,
        images="none",
        reparam=request.reparam,
        analysis_limit_s=request.analysis_limit_s,
    )
    track = _track(scale, request.size)
    write_images(folder / "images", scale)
    dataset = open_dataset(folder / "images", scale, get_degradation(track.degradation), folder / "cache")
    plan = make_plan(wanted, submissions, engine)
    # The plan was made for a track of the catalogue; frames and images of a check are smaller.
    # Nor are ceilings measured, which takes longer than the timing: the times of a check are not reported.
    protocol = replace(plan.protocol, repeats=_TURNS, turn_s=_TURN_S, anchor_turn_s=_ANCHOR_TURN_S)
    return replace(plan, track=track, dataset=dataset, protocol=protocol, timed=request.timed, has_ceilings=False)


@contextmanager
def _folder_of(request: CheckRequest, scale: int) -> Iterator[Path]:
    """Yield the folder of what is measured at a scale."""
    if request.folder is not None:
        untimed = "" if request.timed else "-untimed"
        yield request.folder / f"x{scale}-{request.size[0]}x{request.size[1]}{untimed}"
        return
    with tempfile.TemporaryDirectory(prefix="sr-harness-") as folder:
        yield Path(folder)


def _track(scale: int, size: tuple[int, int]) -> Track:
    """Return the rules of the scale, or those of another scale where no track has it, for small frames.

    The metric is that of tracks which take all networks, those for Y alone too.
    """
    try:
        rules = track_for_scale(scale)
    except UsageError:
        # Any rules will do: nothing is scored.
        rules = track_for_scale(2)
    return replace(rules, metric="psnr_y", scale=scale, input_shape=(1, 3, *size), official_bicubic={})


def _check(submission: Found, track: Track, measured: Measurement, contract: Sequence[Finding]) -> Check:
    """Return the findings of a submission: what its stages found, and why the last of them failed."""
    scale, size = track.scale, "x".join(map(str, track.input_shape[2:]))
    findings = [*_loading(submission, scale, measured), *contract, *_figures(measured, size)]
    # A network without weights is complete in all that can be checked, and _loading has said so.
    if measured.error is not None and measured.error.type != "NoWeights":
        error = measured.error
        kind = "disqualified" if measured.status == "disqualified" else f"at {error.stage}"
        hint = _HINT_END if error.type in ("Crash", "Timeout") else ""
        findings.append(Finding("error", f"{kind}: {error.message}", hint))
    log = "" if measured.error is None else measured.error.log
    return Check(submission.name, scale, tuple(findings), log, measured)


def _loading(submission: Found, scale: int, measured: Measurement) -> list[Finding]:
    if not measured.isolation or not isinstance(submission, Submission):
        return []
    weights = submission.manifest.weights_for(scale)
    loaded = Finding("ok", f"loads{f', weights from {weights}' if weights else ''}, in {measured.isolation}")
    notes = [Finding("warn", note) for note in measured.notes]
    if measured.has_weights:
        return [loaded, *notes]
    untrained = f"has no weights for x{scale}: it is measured but not scored"
    return [loaded, *notes, Finding("warn", untrained, "add them under [weights]")]


def _figures(measured: Measurement, size: str) -> list[Finding]:
    """Return what is known of the stages after loading; operations are counted at `size`."""
    findings = [*_form(measured.reparam), *_counts(measured, size)]
    if measured.timing is not None and measured.timing.remaining_work is None and measured.error is None:
        findings.append(Finding("ok", "its timed outputs equal its untimed ones"))
    return findings


def _form(reparam: Reparam | None) -> list[Finding]:
    """Return which form is measured, and what the search left out for lack of time."""
    if reparam is None:
        return []
    form = "the network as it is" if reparam.method == "none" else reparam.method
    reason = f": {reparam.reason}" if reparam.reason else ""
    late = [Finding("warn", note, _HINT_LIMIT) for note in reparam.notes if CUT_SHORT in note]
    return [Finding("ok", f"inference form: {form}{reason}"), *late]


def _counts(measured: Measurement, size: str) -> list[Finding]:
    if measured.params is None or measured.macs_source is None:
        return []
    late = measured.macs_source if TOO_LONG in measured.macs_source else ""
    if measured.macs is None:
        return [Finding("warn", f"{measured.params} parameters, {measured.macs_source}", _HINT_LIMIT if late else "")]
    bound = ", at least" if measured.incomplete_ops else ","
    counted = Finding("ok", f"{measured.params} parameters{bound} {measured.macs / 1e9:.4g} G MACs at {size}")
    return [counted, *([Finding("warn", late, _HINT_LIMIT)] if late else [])]


def _declares_scale(submission: Submission) -> bool:
    return tuple(submission.manifest.scales) != PROTOCOL_SCALES or manifest_file(submission.root) is not None


def _one_scale(checks: list[Check]) -> list[Check]:
    """Keep the check at the scale that a submission without manifest turned out to have, or all if there is none."""
    # The error of `loader._check_scale`; the finding of a check that passed begins with the same words.
    fitting = [
        check for check in checks if not any("upscales by" in f.what and f.level == "error" for f in check.findings)
    ]
    return fitting or checks
