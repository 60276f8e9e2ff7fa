"""Orders in which networks are timed: one class each."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from failing_anchor import FailingAnchor

from harness.pipeline import run
from harness.run.context import RunContext
from harness.run.plan import RunRequest
from harness.run.submission_run import SubmissionRun
from harness.run.timing_order import ORDERS, order_of
from harness.timing import NTIRE23_CPU, PROTOCOLS

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


def test_every_protocol_has_an_order() -> None:
    assert {protocol.order for protocol in PROTOCOLS.values()} == set(ORDERS)
    assert [order_of(PROTOCOLS[name]).loads_together for name in ("robust", "esr")] == [True, False]


class LastFirst:
    """Times the networks of a group from the last one to the first."""

    loads_together = True

    def __init__(self) -> None:
        self.timed: list[str] = []

    def time(self, runs: Sequence[SubmissionRun], context: RunContext) -> list[SubmissionRun]:
        for one in reversed(runs):
            if context.attempt(one, lambda one=one: one.time_alone(None)):
                self.timed.append(one.slug)
        return []


def test_a_further_order_is_one_class(submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    order = LastFirst()
    monkeypatch.setitem(ORDERS, "last-first", order)
    monkeypatch.setitem(PROTOCOLS, "last-first", replace(NTIRE23_CPU, name="last-first", order="last-first"))
    submit("one")
    submit("two", "x = x * 0.9")
    engine = FailingAnchor()
    finished = run(request_for(protocol="last-first"), engine=engine)
    assert order.timed == ["two", "one"]
    assert [entry.status for entry in finished.run.entries] == ["ok", "ok"]
    assert engine.opened[:2] == ["one", "two"]  # both were loaded before the first was timed
