"""One process of the anchor serves a whole run, is replaced after it ended, and is not asked again once it failed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from failing_anchor import FailingAnchor

from harness.engines import Job
from harness.engines.inline import InlineEngine
from harness.errors import WorkerError
from harness.isolation.session import Session
from harness.run.anchor import Anchor
from harness.run.plan import Plan, RunRequest, make_plan

Request = Callable[..., RunRequest]


@pytest.fixture
def plan(submit: Callable[..., Path], request_for: Request) -> Plan:
    submit("one")
    return make_plan(request_for(protocol="robust"))


class Broken(InlineEngine):
    """Starts nothing."""

    def __init__(self) -> None:
        self.asked = 0

    def open(self, job: Job) -> Session:
        self.asked += 1
        raise WorkerError("no memory", stage="start", kind="Crash")


def test_one_process_serves_the_whole_run(plan: Plan) -> None:
    engine = FailingAnchor()
    anchor = Anchor(plan, engine)
    first, name = anchor.open()
    assert anchor.open() == (first, name)
    assert engine.opened == ["anchor"]
    assert anchor.ceilings is not None
    assert anchor.ceilings.macs_per_s > 0


def test_a_dropped_anchor_is_started_anew_under_another_name(plan: Plan) -> None:
    engine = FailingAnchor()
    anchor = Anchor(plan, engine)
    _, name = anchor.open()
    ceilings = anchor.ceilings
    anchor.drop()
    assert anchor.open()[1] != name
    assert engine.opened == ["anchor", "anchor"]
    assert anchor.ceilings is ceilings  # measured once in a run


def test_an_anchor_that_failed_is_not_tried_for_every_network(plan: Plan) -> None:
    engine = Broken()
    anchor = Anchor(plan, engine)
    assert anchor.try_open() is None
    assert anchor.try_open() is None
    assert engine.asked == 1
    with pytest.raises(WorkerError, match="no memory"):
        anchor.open()


def test_ceilings_that_cannot_be_measured_do_not_cost_the_anchor(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_session: Session) -> None:
        raise WorkerError("out of memory", stage="ceilings", kind="OutOfMemoryError")

    monkeypatch.setattr(Session, "ceilings", fail)
    engine = FailingAnchor()
    anchor = Anchor(plan, engine)
    assert anchor.open()[0].alive()
    assert anchor.ceilings is None
    assert engine.opened == ["anchor", "anchor"]
