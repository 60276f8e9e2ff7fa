"""For how long other programs kept a worker from running."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from harness.isolation.delays import DelayReading
from harness.isolation.helper_thread import HelperThread

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the kernel counts no waiting")

SPIN = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


@pytest.fixture
def start():
    """Return a function that starts a program on one processor."""
    started = []
    cpu = min(os.sched_getaffinity(0))

    def run(code):
        process = subprocess.Popen([sys.executable, "-c", code])
        os.sched_setaffinity(process.pid, {cpu})
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def measure(pid, seconds=1.0):
    before, cpu = DelayReading.now([pid]), psutil.Process(pid).cpu_times().user
    time.sleep(seconds)
    return before.delay_s(DelayReading.now([pid])), psutil.Process(pid).cpu_times().user - cpu


def test_the_time_that_others_took_is_a_delay(start):
    worker, _ = start(SPIN), start(SPIN)
    time.sleep(0.3)
    delay, used = measure(worker.pid)
    assert delay > 0.2  # half of the time, if nothing else runs
    assert delay + used == pytest.approx(1.0, abs=0.25)


def test_time_in_which_nothing_else_runs_is_no_delay():
    """A process that sleeps is not delayed, whatever else runs."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        time.sleep(0.5)
        delay, _ = measure(sleeper.pid, 0.5)
        steal = psutil.cpu_times().steal
        assert delay < 0.2 or steal > 0
    finally:
        sleeper.kill()
        sleeper.wait()


def reading(waited, others, stolen=0.0, controller=0.0, threads=0.0):
    return DelayReading(waited, controller, threads, others, stolen)


def test_a_worker_cannot_delay_itself():
    """Its threads waited for each other: nothing else used a processor."""
    assert reading({1: 0.0, 2: 0.0}, 5.0).delay_s(reading({1: 0.8, 2: 0.7}, 5.0)) == 0.0


def test_a_delay_is_no_longer_than_any_thread_waited():
    before = reading({1: 2.0, 2: 1.0}, 5.0)
    assert before.delay_s(reading({1: 2.1, 2: 1.3, 3: 0.2}, 9.0)) == pytest.approx(0.3)
    assert before.delay_s(reading({1: 2.0, 2: 1.0}, 9.0)) == 0.0
    assert before.delay_s(reading({1: 2.0, 2: 1.0}, 9.0, controller=0.25)) == pytest.approx(0.25)
    assert before.delay_s(reading({}, 9.0)) == 0.0  # the worker has ended


def test_time_of_other_virtual_machines_is_a_delay():
    assert reading({1: 0.0}, 5.0, 1.0).delay_s(reading({1: 0.0}, 5.4, 1.4)) == pytest.approx(0.4)
    assert reading({1: 0.0}, 5.0, 1.0).delay_s(reading({1: 0.3}, 5.6, 1.4)) == pytest.approx(0.6)


def test_time_of_the_controllers_other_threads_is_a_delay():
    before = reading({1: 0.0}, 5.0, threads=2.0)
    assert before.delay_s(reading({1: 0.0}, 5.0, threads=2.4)) == pytest.approx(0.4)
    assert before.delay_s(reading({1: 0.1}, 5.1, threads=2.4)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("kind", "is_own", "is_delay"),
    [(threading.Thread, False, True), (HelperThread, False, True), (HelperThread, True, False)],
)
@pytest.mark.parametrize("ends", [True, False])
def test_a_thread_that_computes_is_a_delay_unless_it_serves_the_worker(kind, is_own, is_delay, ends):
    def spin():
        while time.thread_time() < 0.3:
            pass
        computed.set()
        ended.wait(60)

    computed, ended = threading.Event(), threading.Event()
    other = kind(target=spin)
    helpers = [other] if is_own else []
    before = DelayReading.now([], helpers)
    other.start()
    assert computed.wait(60)
    if ends:
        ended.set()
        other.join()
    spent = DelayReading.now([], helpers).controller_others - before.controller_others
    assert (spent > 0.28) == is_delay
    assert is_delay or spent < 0.1
    ended.set()
    other.join()


def test_processes_that_do_not_exist():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert DelayReading.now([gone.pid]).waited == {}
