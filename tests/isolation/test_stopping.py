"""A process counts as stopped when all its threads have stopped; what they did until then is known."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from patience import soon

from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.processes import continue_tree, kill_tree, process_tree
from harness.isolation.session import Session
from harness.isolation.stopping import Stopped, stop_and_wait

POPULATES = """
import ctypes, mmap
system = ctypes.CDLL(None)
system.mmap.restype = ctypes.c_void_p
system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
system.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
print("ready", flush=True)
while True:  # MAP_POPULATE: no signal but SIGKILL ends the call
    memory = system.mmap(None, 1 << 30, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x8000, -1, 0)
    system.munmap(memory, 1 << 30)
"""
SLEEPS = "print('ready', flush=True); import threading; threading.Event().wait()"


@pytest.fixture
def start() -> Iterator[object]:
    started: list[subprocess.Popen[str]] = []

    def run(code: str) -> int:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process.pid

    yield run
    for process in started:
        kill_tree(process.pid)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_process_that_waits_stops_at_once(start) -> None:
    pid = start(SLEEPS)
    assert soon(lambda: psutil.Process(pid).status() == psutil.STATUS_SLEEPING)
    stopped = stop_and_wait(pid)
    assert stopped.pids == [pid]
    assert stopped.overtime_s < 0.05
    assert psutil.Process(pid).status() == psutil.STATUS_STOPPED


FORKS = """
import os, time
print("ready", flush=True)
while True:
    if os.fork() == 0:
        time.sleep(0.01)
        os._exit(0)
    os.waitpid(-1, os.WNOHANG)
"""


def test_no_process_escapes_that_is_created_after_the_tree_was_read(start) -> None:
    """What the caller knows is some forks old: all children are stopped, and none appears later."""
    pid = start(FORKS)
    try:
        for _ in range(5):
            time.sleep(0.02)
            stopped = stop_and_wait(pid, known=[pid])
            time.sleep(0.02)
            assert process_tree(pid) == stopped.pids
            states = {psutil.Process(one).status() for one in stopped.pids}
            assert states <= {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
            continue_tree(stopped.pids)
    finally:
        kill_tree(pid)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are listed by psutil")
def test_a_timing_request_reads_the_processes_twice_and_its_stop_once(
    open_small: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, frame: np.ndarray
) -> None:
    session = open_small()
    session.load()
    session.prepare(frame.shape[:2])
    session.pause()
    read = []

    def count(pid: int) -> list[int]:
        read.append(pid)
        return process_tree(pid)

    monkeypatch.setattr("harness.isolation.exchange.process_tree", count)
    monkeypatch.setattr("harness.isolation.stopping._is_at_rest", lambda _pid: True)  # else the stop looks again
    monkeypatch.setattr("harness.isolation.stopping.process_tree", count)
    before = session.cpu_s()
    session.time([frame], 0, 1, 1, None)
    assert len(read) == 2  # the worker has run before the call, to free what it holds
    session.pause()
    assert len(read) == 3
    assert (session.cpu_s() or 0) > (before or 0)
    assert len(read) == 3


def test_a_worker_that_has_ended_fails_at_the_stage_of_the_request(
    open_small: Callable[..., Session], frame: np.ndarray
) -> None:
    session = open_small()
    session.load()
    session.prepare(frame.shape[:2])
    session.checked.exchange._overtime_s = 1.0
    stages = []
    for stage in ("time", "time", "check"):
        with pytest.raises(WorkerError) as failure:
            session.time([frame], 0, 1, 1, None, stage=stage)
        stages.append(failure.value.stage)
        assert failure.value.kind == DISQUALIFIED
        assert "kept a processor busy" in failure.value.what
    assert stages == ["time", "time", "check"]


def test_a_long_system_call_is_waited_for_and_counted(start) -> None:
    pid = start(POPULATES)
    overtimes = []
    for _ in range(5):
        time.sleep(0.05)
        stopped = stop_and_wait(pid)
        assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
        used = sum(psutil.Process(pid).cpu_times()[:2])
        time.sleep(0.02)
        assert sum(psutil.Process(pid).cpu_times()[:2]) == used  # nothing goes on
        overtimes.append(stopped.overtime_s)
        continue_tree(stopped.pids)
    assert max(overtimes) > 0.02


@pytest.mark.parametrize(("overtime_s", "is_honest"), [(0.004, True), (0.03, False)])
def test_what_threads_take_to_stop_is_no_work(
    open_small: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, overtime_s: float, *, is_honest: bool
) -> None:
    """A busy machine stops a thread some milliseconds late, each time; a hundred times that is no offence."""
    monkeypatch.setattr("harness.isolation.exchange.stop_and_wait", lambda *_, **__: Stopped([], overtime_s))
    session = open_small()
    session.load()
    for _ in range(100):
        session.pause()
    if is_honest:
        session.check()
    else:
        with pytest.raises(WorkerError, match="after it was stopped"):
            session.check()
