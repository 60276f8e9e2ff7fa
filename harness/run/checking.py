"""Check submissions for ``harness check``: stages, sandbox and rules of a run, on two small images.

What depends on the size of the frames, such as time and memory, is found by a run only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from harness.data import get_degradation, open_dataset
from harness.engines import Engine, LocalEngine
from harness.errors import UsageError
from harness.isolation.sandbox import Sandbox
from harness.results import Measurement, RunStore
from harness.run.context import RunContext
from harness.run.group_timing import time_group
from harness.run.group_upscaling import upscale_group
from harness.run.plan import Plan, RunRequest, make_plan
from harness.run.progress import Listener, Progress
from harness.run.scheduler import Scheduler
from harness.run.submission_run import SubmissionRun
from harness.submissions.discovery import discover
from harness.submissions.finding import Finding, finding_of_error
from harness.submissions.submission import PROTOCOL_SCALES, BrokenSubmission, Found, Submission
from harness.tracks import Track, track_for_scale

_TIMED_SIZE = (96, 128)
"""Height and width of the timed frames."""
_IMAGE_SIZE = 64  # side of the LR images: smaller than the timed frames, so that both sizes are compared
_BUDGET_S = 1.5

_HINT_END = "look for exit(), an endless loop or native code there"


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What the user asked for; see the options of ``harness check``."""

    path: Path
    scale: int | None = None
    device: str = "auto"
    timeout_s: float = 120.0
    sandbox: Sandbox = "auto"
    install: bool = False
    wheels: Path | None = None
    trust_pickle: bool = False


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
    """

    name: str
    scale: int | None
    findings: tuple[Finding, ...]
    log: str = ""

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)


def check_path(request: CheckRequest, listeners: Sequence[Listener] = (), engine: Engine | None = None) -> list[Check]:
    """Check every submission at a path.

    Parameters
    ----------
    request
        Path, scale and options.
    listeners
        Called with every progress event.
    engine
        Starts workers; on this machine by default.

    Returns
    -------
    list of Check
        One per submission and scale, in the order of the submissions.

    Raises
    ------
    UsageError
        There is no submission, or none that supports the scale, or the options cannot be followed here.
    """
    found = discover([request.path], entry_points=False)
    checks: dict[int, list[Check]] = {number: [] for number in range(len(found))}
    for scale in _scales(found, request.scale):
        numbers = [number for number, one in enumerate(found) if _supports(one, scale)]
        for number, check in zip(
            numbers, _check_scale(request, scale, [found[n] for n in numbers], listeners, engine), strict=True
        ):
            checks[number].append(check)
    for number, one in enumerate(found):
        if isinstance(one, BrokenSubmission):
            checks[number].append(Check(one.name, None, (finding_of_error(one.error),)))
        elif not _declares_scale(one):
            checks[number] = _one_scale(checks[number])
    listed = [check for of_one in checks.values() for check in of_one]
    if not listed:
        what = f"no submission supports x{request.scale}"
        raise UsageError(what, where=str(request.path), hint="omit --scale to check all scales")
    return listed


def check_planned(
    plan: Plan, listeners: Sequence[Listener] = (), engine: Engine | None = None
) -> list[tuple[Check, Measurement]]:
    """Check what is planned, and return the findings with the measurements that they come from.

    Parameters
    ----------
    plan
        As of a run.
    listeners, engine
        As for :func:`check_path`.
    """
    progress = Progress(listeners)
    progress.start(plan.names, len(plan.dataset), plan.protocol.budget_s, plan.protocol.processes)
    contract: dict[str, list[Finding]] = {}

    def check_contract(run: SubmissionRun) -> None:
        session = run.worker.running
        contract[run.slug] = [Finding(one.level, one.what, one.hint) for one in session.check()]
        session.pause()

    with RunContext(plan, RunStore(plan.folder), engine or LocalEngine(), progress) as context:
        scheduler = Scheduler(context)
        for group in scheduler.groups():
            sound = [run for run in group if context.attempt(run, lambda run=run: check_contract(run))]  # type: ignore[misc]
            out_of_memory = time_group(sound, context)
            upscale_group(sound, context)
            scheduler.retry_alone(out_of_memory)
    progress.end()
    return [
        (_check(planned.submission, plan.track.scale, measured, contract.get(planned.submission.slug, [])), measured)
        for planned, measured in context.measurements()
    ]


def _scales(found: Sequence[Found], wanted: int | None) -> list[int]:
    declared = {scale for one in found if isinstance(one, Submission) for scale in one.manifest.scales}
    return sorted(scale for scale in declared if wanted in (None, scale))


def _supports(one: Found, scale: int) -> bool:
    return isinstance(one, Submission) and scale in one.manifest.scales


def _check_scale(
    request: CheckRequest,
    scale: int,
    submissions: Sequence[Found],
    listeners: Sequence[Listener],
    engine: Engine | None,
) -> list[Check]:
    with tempfile.TemporaryDirectory(prefix="sr-harness-") as folder:
        plan = _plan(request, scale, submissions, Path(folder), engine)
        return [check for check, _ in check_planned(plan, listeners, engine)]


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
    )
    track = _track(scale)
    _write_images(folder / "images", scale)
    dataset = open_dataset(folder / "images", scale, get_degradation(track.degradation), folder / "cache")
    return replace(make_plan(wanted, submissions, engine), track=track, dataset=dataset)


def _track(scale: int) -> Track:
    """Return the rules of the scale, or those of another scale where no track has it, for small frames."""
    try:
        rules = track_for_scale(scale)
    except UsageError:
        rules = track_for_scale(2)
    return replace(rules, scale=scale, input_shape=(1, 3, *_TIMED_SIZE), official_bicubic={})


def _write_images(folder: Path, scale: int) -> None:
    """Write crops of two embedded images, enlarged where they are too small for the scale."""
    folder.mkdir()
    source = open_dataset("embedded", 2, get_degradation("bicubic"))
    side = _IMAGE_SIZE * scale
    for index in range(2):
        _, hr = source.pair(index)
        least = min(hr.shape[:2])
        image = Image.fromarray(np.ascontiguousarray(hr[:least, :least]))
        image = (
            image.crop((0, 0, side, side)) if side <= least else image.resize((side, side), Image.Resampling.BICUBIC)
        )
        image.save(folder / f"{index}.png")


def _check(submission: Found, scale: int, measured: Measurement, contract: Sequence[Finding]) -> Check:
    """Return the findings of a submission: what its stages found, and why the last of them failed."""
    findings = [*_loading(submission, scale, measured), *contract, *_figures(measured)]
    if measured.error is not None and measured.error.type != "NoWeights":
        error = measured.error
        kind = "disqualified" if measured.status == "disqualified" else f"at {error.stage}"
        hint = _HINT_END if error.type in ("Crash", "Timeout") else ""
        findings.append(Finding("error", f"{kind}: {error.message}", hint))
    log = "" if measured.error is None else measured.error.log
    return Check(submission.name, scale, tuple(findings), log)


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


def _figures(measured: Measurement) -> list[Finding]:
    """Return what is known of the stages after loading."""
    findings = []
    if measured.reparam is not None:
        form = measured.reparam.method
        findings.append(Finding("ok", f"inference form: {'the network as it is' if form == 'none' else form}"))
    if measured.params is not None and measured.macs is not None:
        size = "x".join(map(str, _TIMED_SIZE))
        findings.append(Finding("ok", f"{measured.params} parameters, {measured.macs / 1e9:.4g} G MACs at {size}"))
    if measured.timing is not None and measured.timing.remaining_work is None and measured.error is None:
        findings.append(Finding("ok", "its timed outputs equal its untimed ones"))
    return findings


def _declares_scale(submission: Submission) -> bool:
    return tuple(submission.manifest.scales) != PROTOCOL_SCALES or (submission.root / "submission.toml").is_file()


def _one_scale(checks: list[Check]) -> list[Check]:
    """Keep the check at the scale that a submission without manifest turned out to have, or all if there is none."""
    fitting = [
        check for check in checks if not any("upscales by" in f.what and f.level == "error" for f in check.findings)
    ]
    return fitting or checks
