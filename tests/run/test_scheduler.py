"""Which submissions are loaded together: what groups the scheduler forms, whatever becomes of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engines.inline import InlineEngine
from harness.results import RunStore
from harness.run.context import RunContext
from harness.run.plan import RunRequest, make_plan
from harness.run.progress import Progress
from harness.run.scheduler import Scheduler
from harness.run.submission_run import SubmissionRun

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


@pytest.fixture
def context_for(request_for: Request) -> Callable[..., RunContext]:
    def make(**changes: object) -> RunContext:
        plan = make_plan(request_for(**changes))
        progress = Progress()
        progress.start([(one.submission.slug, one.submission.name) for one in plan.submissions], 0)
        return RunContext(plan, RunStore(plan.folder), InlineEngine(), progress)

    return make


def names(group: list[SubmissionRun]) -> list[str]:
    return [run.slug for run in group]


def end(group: list[SubmissionRun]) -> None:
    for run in group:
        run.worker.close()


def test_rounds_have_all_networks_that_fit_into_memory(submit: Submit, context_for: Callable[..., RunContext]) -> None:
    for name in ("a", "b", "c"):
        submit(name)
    with context_for(protocol="robust") as context:
        assert [names(group) for group in Scheduler(context).prepare_groups()] == [["a", "b", "c"]]
    with context_for(protocol="robust", memory_bytes=1) as context:
        assert [names(group) for group in Scheduler(context).prepare_groups()] == [["a"], ["b"], ["c"]]


def test_a_protocol_that_times_alone_has_one_network_in_a_group(
    submit: Submit, context_for: Callable[..., RunContext]
) -> None:
    submit("a")
    submit("b")
    with context_for(protocol="ntire23-cpu") as context:
        assert [names(group) for group in Scheduler(context).prepare_groups()] == [["a"], ["b"]]


def test_what_fails_or_cannot_run_is_finished_and_in_no_group(
    submit: Submit, context_for: Callable[..., RunContext]
) -> None:
    submit("a-raises", before="raise OSError('no such library')\n")
    submit("b-good")
    submit("c-other-scale", scales="[3]")
    with context_for(protocol="robust") as context:
        assert [names(group) for group in Scheduler(context).prepare_groups()] == [["b-good"]]
        finished = {planned.submission.slug: m.status for planned, m in context.measurements()}
    assert finished == {"a-raises": "failed", "c-other-scale": "unsupported"}


def test_networks_that_ran_out_of_memory_come_again_one_by_one(
    submit: Submit, context_for: Callable[..., RunContext]
) -> None:
    for name in ("a", "b", "c"):
        submit(name)
    seen = []
    with context_for(protocol="robust") as context:
        scheduler = Scheduler(context)
        for group in scheduler.prepare_groups():
            seen.append(names(group))
            end(group)
            if len(group) > 1:
                scheduler.retry_alone(group[1:])
    assert seen == [["a", "b", "c"], ["b"], ["c"]]
