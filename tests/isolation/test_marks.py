"""The controller's clock of timed calls: the kernel stamps their begin and end, whenever the controller reads them."""

import os
import time

import numpy as np
import pytest
from patience import soon

from harness.errors import WorkerError
from harness.isolation.marks import MarkReader, make_marks
from harness.isolation.session import Session


@pytest.fixture
def marks():
    made = make_marks()
    assert made is not None  # Linux
    yield made
    made[0].close()
    made[1].close()


def test_a_mark_has_the_time_at_which_it_was_sent(marks: tuple[MarkReader, object]) -> None:
    reader, worker = marks
    before = time.time()
    worker.send(b"")  # type: ignore[attr-defined]
    time.sleep(0.05)
    worker.send(b"")  # type: ignore[attr-defined]
    after = time.time()
    time.sleep(0.1)  # the controller reads them later
    begin, end = reader.take()
    assert before <= begin + 1e-3
    assert end <= after + 1e-3
    assert end - begin >= 0.05
    assert reader.take() == ()


def test_more_marks_than_a_socket_holds_are_collected_meanwhile(marks: tuple[MarkReader, object]) -> None:
    reader, worker = marks
    if os.fork() == 0:
        for _ in range(3000):
            worker.send(b"")  # type: ignore[attr-defined]
        os._exit(0)
    seen = 0

    def all_there() -> bool:
        nonlocal seen
        reader.collect()
        seen += len(reader.take())
        return seen == 3000

    assert soon(all_there)
    os.wait()


def test_reported_times_lie_between_the_marks_of_their_calls(open_small, frame: np.ndarray) -> None:
    with open_small() as session:
        session.load()
        timed = session.time([frame], 2, 6, 2, None)
        assert len(timed.marked_ms) == 8
        for ms, marked_ms in zip([*timed.warmup_ms, *timed.samples_ms], timed.marked_ms, strict=True):
            assert ms < marked_ms
        assert len(timed.strips) == 8


def test_a_worker_that_marks_other_moments_is_disqualified(open_small, frame: np.ndarray) -> None:
    twice = """
import harness.worker.clock as own

def time_twice(self, call, honest=own.HostClock.time):
    self._mark()
    return honest(self, call)

own.HostClock.time = time_twice
"""
    with open_small(SMALL + twice) as session:
        session.load()
        with pytest.raises(WorkerError, match=r"marked 3 moments for 1 timed call") as caught:
            session.time([frame], 0, 1, 1, None)
    assert caught.value.kind == "Disqualified"


SMALL = """
from torch import nn

def srmodel():
    return nn.Upsample(scale_factor=2)
"""
assert Session
