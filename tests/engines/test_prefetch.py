"""Workers are started in their order and before their time, never beside a timing, and none is left."""

import threading
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from harness.engines import Job, PrefetchingEngine
from harness.errors import UsageError
from harness.isolation.session import Session


@dataclass
class Started:
    """Stands in for a session."""

    name: str
    paused: bool = False
    closed: bool = False
    dead: bool = False

    def alive(self) -> bool:
        return not self.dead

    def pause(self) -> None:
        self.paused = True

    def close(self) -> None:
        self.closed = True


@dataclass
class Starting:
    """An engine that remembers what it started."""

    name: str = "scripted"
    refuses: str = ""
    started: list[Started] = field(default_factory=list)

    def open(self, job: Job) -> Session:
        if job.submission == self.refuses:
            raise UsageError("no such interpreter")
        self.started.append(Started(cast("str", job.submission)))
        return cast("Session", self.started[-1])

    @property
    def names(self) -> str:
        return "".join(one.name for one in self.started)


def job(name: str) -> Job:
    return Job(cast("Any", name), scale=2)


def ahead_of(engine: Starting, names: str, most: int) -> PrefetchingEngine:
    ahead = PrefetchingEngine(engine, most)
    ahead.expect(map(job, names))
    return ahead


def test_the_next_ones_are_started_before_they_are_asked_for() -> None:
    engine = Starting()
    ahead = ahead_of(engine, "abcde", most=2)
    assert engine.names == ""
    assert ahead.open(job("a")) is engine.started[0]
    assert engine.names == "abc"
    assert ahead.open(job("b")) is engine.started[1]
    assert engine.names == "abcd"
    assert ahead.open(job("c")) is engine.started[2]
    assert ahead.open(job("d")) is engine.started[3]
    assert ahead.open(job("e")) is engine.started[4]
    assert engine.names == "abcde"


def test_what_was_not_expected_is_started_when_it_is_asked_for() -> None:
    engine = Starting()
    ahead = ahead_of(engine, "ab", most=1)
    assert ahead.open(job("x")).name == "x"  # type: ignore[attr-defined]
    assert ahead.open(job("a")) is engine.started[1]
    ahead.open(job("b"))
    ahead.open(job("b"))
    assert engine.names == "xabb"


def test_what_comes_out_of_order_is_started_once() -> None:
    engine = Starting()
    ahead = ahead_of(engine, "abcd", most=1)
    for name in "dbac":
        assert ahead.open(job(name)).name == name  # type: ignore[attr-defined]
    assert sorted(engine.names) == list("abcd")
    assert not any(one.closed for one in engine.started)


def test_what_is_not_opened_after_all_makes_room() -> None:
    engine = Starting()
    ahead = ahead_of(engine, "abcd", most=1)
    ahead.open(job("a"))
    ahead.forget(job("b"))
    ahead.forget(job("c"))
    assert [one.closed for one in engine.started] == [False, True]
    ahead.open(job("x"))
    assert engine.names == "abxd"


def test_nothing_runs_or_starts_beside_a_timing() -> None:
    engine = Starting()
    ahead = ahead_of(engine, "abcd", most=1)
    ahead.open(job("a"))
    ahead.hold()
    assert [one.paused for one in engine.started] == [False, True]
    ahead.open(job("b"))
    assert engine.names == "ab"
    ahead.release()
    ahead.open(job("c"))
    assert engine.names == "abcd"


def test_what_cannot_be_started_says_so_where_it_is_asked_for() -> None:
    engine = Starting(refuses="b")
    ahead = ahead_of(engine, "abc", most=1)
    ahead.open(job("a"))
    with pytest.raises(UsageError, match="no such interpreter"):
        ahead.open(job("b"))
    assert ahead.open(job("c")).name == "c"  # type: ignore[attr-defined]


def test_one_that_died_while_it_waited_is_started_again() -> None:
    engine = Starting()
    ahead = ahead_of(engine, "ab", most=1)
    ahead.open(job("a"))
    engine.started[1].dead = True
    assert ahead.open(job("b")) is engine.started[2]


def test_none_is_left_at_the_end() -> None:
    """Also those that were handed out: an interrupt may come before anyone else knows of them."""
    engine = Starting()
    ahead = ahead_of(engine, "abc", most=2)
    ahead.open(job("a"))
    ahead.close()
    assert [one.closed for one in engine.started] == [True, True, True]


def test_work_of_this_process_goes_on_while_workers_start_and_has_ended_when_something_is_timed() -> None:
    ahead, may_end = ahead_of(Starting(), "ab", most=1), threading.Event()
    done: list[bool] = []
    ahead.meanwhile(lambda: done.append(may_end.wait(60)))
    ahead.open(job("a"))
    assert done == []
    threading.Timer(0.05, may_end.set).start()
    ahead.hold()
    assert done == [True]


def test_pieces_of_such_work_follow_one_another_and_all_have_ended() -> None:
    ahead, may_begin = ahead_of(Starting(), "a", most=1), threading.Event()
    begun: list[int] = []
    ahead.meanwhile(lambda: None if may_begin.wait(60) else begun.append(-1))
    for number in range(5):
        ahead.meanwhile(lambda number=number: begun.append(number))
    assert begun == []
    may_begin.set()
    ahead.finish_own_work()
    assert begun == [0, 1, 2, 3, 4]


def test_nothing_is_waited_for_where_this_process_has_no_work() -> None:
    ahead = ahead_of(Starting(), "a", most=1)
    ahead.finish_own_work()
    ahead.hold()


def test_all_are_ended_also_if_one_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Starting()
    ahead = ahead_of(engine, "abc", most=2)
    ahead.open(job("a"))

    def fail() -> None:
        raise OSError("a descriptor")

    monkeypatch.setattr(engine.started[1], "close", fail)
    with pytest.raises(OSError, match="a descriptor"):
        ahead.close()
    assert [engine.started[number].closed for number in (0, 2)] == [True, True]


def test_sessions_that_have_ended_are_not_kept() -> None:
    engine = Starting()
    ahead = PrefetchingEngine(engine, most=1)
    for name in "abcdef":
        ahead.open(job(name)).close()
    assert len(ahead._opened) <= 2
    running = ahead.open(job("g"))
    ahead.close()
    assert cast("Started", running).closed
