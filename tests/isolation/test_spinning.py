"""A worker that keeps cores busy is seen, and takes nothing from others while it is stopped."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import soon

from harness.errors import WorkerError
from harness.isolation.session import Session
from harness.timing.idle_check import check_idle

SPINNER = (Path(__file__).parent.parent / "zoo" / "spins_other_cores" / "arch.py").read_text(encoding="utf-8")
Open = Callable[..., Session]


def stands_still(session: Session) -> bool:
    """Return whether the worker takes nothing of half a second."""
    before = session.cpu_s()
    time.sleep(0.5)
    return session.cpu_s() == before


def test_what_spins_is_seen_and_takes_no_time_from_its_neighbours_turns(open_small: Open) -> None:
    session = open_small(SPINNER)
    session.load()
    with pytest.raises(WorkerError, match="busy while it has nothing to do"):
        check_idle(session)
    session.pause()
    assert (session.cpu_s() or 0) > 0
    assert soon(lambda: stands_still(session))  # once every processor has noticed


def test_an_honest_worker_is_idle_between_requests(open_small: Open) -> None:
    session = open_small()
    session.load()
    session.pause()
    check_idle(session)
    assert session.cpu_s() is not None
