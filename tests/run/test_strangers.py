"""Whatever a submission is or does ends as its row: made-up submissions through a run without processes.

``FUZZ_EXAMPLES`` sets the number of examples; ``benchmarks/fuzz_submissions.py`` runs 20,000.
"""

import os
from pathlib import Path

import pytest
import strangers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strangers import EXCEPTIONS, GOOD_MANIFEST, OPERATIONS, Fault, Tree

from harness.machine.load import busy_share
from harness.run.plan import Plan

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
GOOD = Tree(b"good", GOOD_MANIFEST.encode(), None, (), 0, "folder")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.engines.this_machine.busy_share", lambda: busy_share(0.001))
        yield strangers.base_plan(tmp_path_factory.mktemp("strangers"))


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(trees=st.lists(strangers.trees, min_size=1, max_size=3), fault=strangers.faults)
def test_each_ends_as_a_row(plan: Plan, trees: list[Tree], fault: Fault | None) -> None:
    strangers.check(plan, trees, fault)


@pytest.mark.parametrize("number", range(len(EXCEPTIONS)))
@pytest.mark.parametrize("operation", ["load", "time", "output", "upscale"])
def test_every_exception_in_every_stage_is_the_row_of_its_submission(plan: Plan, operation: str, number: int) -> None:
    assert operation in OPERATIONS
    (row,) = strangers.check(plan, [GOOD], Fault(operation, "exception", exception=number)).entries
    assert row.status == "failed"
    kind = type(EXCEPTIONS[number]()).__name__
    if kind and kind != "WorkerError":
        assert row.error.type == kind
        assert row.error.stage == ("time" if operation == "output" else operation)
        assert "Traceback" in row.error.log
    assert row.error.first_line


def test_an_exception_while_networks_take_turns_is_the_row_of_its_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.engines.this_machine.busy_share", lambda: busy_share(0.001))
    plan = strangers.base_plan(tmp_path, "robust")
    (row,) = strangers.check(plan, [GOOD], Fault("time", "exception", exception=0)).entries
    assert (row.status, row.error.stage, row.error.type) == ("failed", "time", "RecursionError")


def test_a_reparameterization_without_an_answer_leaves_the_network_as_it_is(plan: Plan) -> None:
    timeout = next(n for n, make in enumerate(EXCEPTIONS) if getattr(make(), "kind", "") == "Timeout")
    (row,) = strangers.check(plan, [GOOD], Fault("reparameterize", "exception", exception=timeout)).entries
    assert row.status == "ok"
    assert row.reparam is None
    assert any("measured as it is" in note for note in row.notes)
    assert row.params == 100


@pytest.mark.parametrize("operation", ["reparameterize", "count"])
def test_a_message_of_any_text_in_an_optional_stage_becomes_a_note(plan: Plan, operation: str) -> None:
    odd = next(n for n, make in enumerate(EXCEPTIONS) if getattr(make(), "what", "") == "\ud800")
    (row,) = strangers.check(plan, [GOOD], Fault(operation, "exception", exception=odd)).entries
    assert row.status == "ok"
    assert any(note.endswith(": \ufffd") for note in row.notes), row.notes


def test_what_a_listener_raises_still_ends_the_run(plan: Plan) -> None:
    with pytest.raises(ZeroDivisionError):
        strangers.check(plan, [GOOD], None, listener=lambda event: 1 // 0)
