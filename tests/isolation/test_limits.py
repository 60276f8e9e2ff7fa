"""The watcher and the process tree, on small processes that end by themselves."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from patience import soon

from harness.isolation.limits import Limits, Watcher, limits_from_json, limits_to_json
from harness.isolation.memory_files import memory_files, total_memory
from harness.isolation.processes import kill_tree, process_tree, usage

LEAVE = "time.sleep(200); os._exit(0)"
Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> subprocess.Popen[bytes]:
        prelude = "import os, threading, time\n"
        started.append(subprocess.Popen([sys.executable, "-I", "-c", prelude + code], start_new_session=True))
        return started[-1]

    yield run
    for process in started:
        kill_tree(process.pid)
        process.wait(60)


def watched(process: subprocess.Popen[bytes], limits: Limits) -> Watcher:
    watcher = Watcher([process.pid], limits)
    watcher.start()
    process.wait(100)
    watcher.stop()
    return watcher


def test_children_count_towards_memory(start: Start) -> None:
    fork = "for _ in range(3):\n  if os.fork() == 0:\n    b = bytearray(80 << 20)"
    process = start(f"{fork}\n    {LEAVE}\ntime.sleep(200)")
    watcher = watched(process, Limits(memory_bytes=200 << 20))
    assert watcher.excess == "MemoryLimit"
    assert "0.2 GiB" in watcher.detail


def test_pages_that_children_share_count_once(start: Start) -> None:
    block = "b = bytearray(os.urandom(1)) * (60 << 20)"
    process = start(f"{block}\nfor _ in range(4):\n  if os.fork() == 0:\n    {LEAVE}\ntime.sleep(200)")
    assert soon(lambda: len(process_tree(process.pid)) == 5)
    tree = process_tree(process.pid)
    assert usage(tree)[0] > 4 * (60 << 20)
    assert total_memory(tree, memory_files(tree)) < 2 * (60 << 20)
    watcher = Watcher([process.pid], Limits(memory_bytes=200 << 20))
    watcher.start()
    time.sleep(0.5)
    watcher.stop()
    assert watcher.excess is None


def test_threads_count_as_tasks(start: Start) -> None:
    process = start(
        "[threading.Thread(target=time.sleep, args=(200,), daemon=True).start() for _ in range(40)]\ntime.sleep(200)"
    )
    watcher = watched(process, Limits(tasks=32))
    assert watcher.excess == "TaskLimit"
    assert re.fullmatch(r"it ran (3[3-9]|4[01]) processes and threads, the limit is 32", watcher.detail)


WRITTEN = "kept = [os.memfd_create('m') for _ in range(6)]\n[os.write(one, bytes(50 << 20)) for one in kept]\n"
MAPPED = f"import mmap\n{WRITTEN}maps = [mmap.mmap(one, 50 << 20) for one in kept]\n[bytes(one) for one in maps]\n"
CLOSED = f"{MAPPED}[os.close(one) for one in kept]\n"
PASSED = f"{WRITTEN}if os.fork() == 0:\n  time.sleep(200)\n[os.close(one) for one in kept]\n"


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no memory files on this system")
@pytest.mark.parametrize("code", [WRITTEN, MAPPED, CLOSED, PASSED], ids=["written", "mapped", "closed", "passed on"])
def test_memory_files_count_once(start: Start, code: str) -> None:
    watcher = watched(start(f"{code}time.sleep(200)"), Limits(memory_bytes=250 << 20))
    assert watcher.excess == "MemoryLimit"
    process = start(f"{code}time.sleep(200)")
    assert soon(lambda: size_of(process.pid) >= 300 << 20)
    # Copies of the content are released a moment later. Files that were counted twice would stay above.
    assert soon(lambda: 300 << 20 <= size_of(process.pid) < 400 << 20)


def size_of(pid: int) -> int:
    tree = process_tree(pid)
    return total_memory(tree, memory_files(tree))


def test_a_process_within_its_limits_is_left_alone(start: Start) -> None:
    watcher = watched(start("time.sleep(0.5)"), Limits(memory_bytes=1 << 30))
    assert watcher.excess is None


def test_killing_a_tree_reaches_grandchildren_in_other_sessions(start: Start) -> None:
    process = start("if os.fork() == 0:\n  os.setsid()\n  os.fork()\ntime.sleep(200)")
    assert soon(lambda: len(process_tree(process.pid)) == 3)
    tree = process_tree(process.pid)
    others = [psutil.Process(pid) for pid in tree[1:]]
    kill_tree(process.pid)
    process.wait(60)
    assert not psutil.wait_procs(others, timeout=60)[1]


def test_the_tree_is_what_psutil_sees(start: Start) -> None:
    process = start("os.fork()\nos.fork()\ntime.sleep(200)")
    assert soon(lambda: len(process_tree(process.pid)) == 4)
    tree = process_tree(process.pid)
    assert set(tree) == {process.pid, *(p.pid for p in psutil.Process(process.pid).children(recursive=True))}
    assert process_tree(os.getpid())[0] == os.getpid()


def test_a_process_that_has_ended_has_no_tree() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(60)
    assert process_tree(process.pid) == []
    kill_tree(process.pid)


def test_limits_survive_the_command_line() -> None:
    limits = Limits(memory_bytes=5, tasks=None, cap_private_memory=False)
    assert limits_from_json(limits_to_json(limits)) == limits


def test_a_stopped_tree_is_looked_at_every_two_seconds(start: Start) -> None:
    process = start(f"b = bytearray(80 << 20)\n{LEAVE}")
    assert soon(lambda: usage(process_tree(process.pid))[0] > 80 << 20)
    running, stopped = (Watcher([process.pid], Limits(memory_bytes=1 << 40)) for _ in range(2))
    stopped.is_stopped = True
    for watcher in (running, stopped):
        watcher.start()
    time.sleep(1.5)
    for watcher in (running, stopped):
        watcher.stop()
    assert stopped.thread.used_s() < running.thread.used_s() / 3


def test_a_stopped_tree_may_not_exceed_its_limits(start: Start) -> None:
    process = start(f"b = bytearray(80 << 20)\n{LEAVE}")
    watcher = Watcher([process.pid], Limits(memory_bytes=40 << 20))
    watcher.is_stopped = True
    watcher.start()
    process.wait(100)
    watcher.stop()
    assert watcher.excess == "MemoryLimit"
