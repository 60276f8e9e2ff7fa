"""Forked workers: confined as executed ones are, and with nothing of an earlier submission in their memory."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from patience import soon

from harness.errors import WorkerError
from harness.isolation import forked_worker
from harness.isolation.fork_server import ForkedProcess, ForkError, ForkServer, ForkServers
from harness.isolation.job import Job
from harness.isolation.opening import open_session
from harness.isolation.processes import process_tree
from harness.isolation.sandbox import bwrap_problem
from harness.isolation.session import Session
from harness.submissions.discovery import Submission

Open = Callable[..., Session]

CONFINEMENTS = ["process", *([] if bwrap_problem() else ["bwrap"])]

# Tells what a process may do and what it sees, in place of loading a network.
TELLING = """
import json, os, resource, signal, socket, sys, threading
from pathlib import Path

status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
names = ["Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Threads"]
told = {name: status[name].split() for name in names}
told["groups"] = [] if os.getuid() == 0 else os.getgroups()
told["environment"] = dict(os.environ)
told["folder"] = os.getcwd()
told["limits"] = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"}
told["mask"] = os.umask(0o22)
told["root"] = sorted(os.listdir("/"))
told["temporary"] = sorted(os.listdir("/tmp")), sorted(os.listdir("/dev/shm"))
told["devices"] = len(os.listdir("/dev")), hash(tuple(sorted(map(len, os.listdir("/dev")))))
told["descriptors"] = sorted({os.readlink(f"/proc/self/fd/{n}").partition(":")[0] for n in os.listdir("/proc/self/fd")
                              if os.path.exists(f"/proc/self/fd/{n}") and int(n) > 2})
told["streams"] = [os.readlink(f"/proc/self/fd/{n}").partition(":")[0] for n in range(3)]
told["namespaces"] = {path.name: os.readlink(path) for path in Path("/proc/self/ns").iterdir()}
told["host"] = socket.gethostname()
told["signals"] = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD)]
told["session"] = os.getsid(0) != 0
told["affinity"] = sorted(os.sched_getaffinity(0))
told["python"] = sys.executable, sorted(vars(sys.flags)) if hasattr(sys.flags, "__dict__") else list(sys.flags)
print(json.dumps(told))
"""


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServers]:
    """Return fork servers of this test alone."""
    own = ForkServers()
    monkeypatch.setattr(forked_worker, "SERVERS_OF_THIS_PROCESS", own)
    yield own
    own.close()


def is_forked(session: Session) -> bool:
    return isinstance(session.exchange._worker.process, ForkedProcess)  # type: ignore[attr-defined]


def told_by(session: Session) -> dict:
    """Return what a worker tells; it then holds no network."""
    with pytest.raises(WorkerError):
        session.load()
    log = session.exchange._worker.log.text()  # type: ignore[attr-defined]
    (line,) = [line for line in log.splitlines() if line.startswith("{")]
    return json.loads(line)


@pytest.mark.parametrize("sandbox", CONFINEMENTS)
def test_forked_and_executed_workers_may_do_and_see_the_same(
    open_small: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: str
) -> None:
    forked = open_small(TELLING, sandbox=sandbox)
    assert is_forked(forked)
    told = told_by(forked)
    (tmp_path / "small").rename(tmp_path / "earlier")
    monkeypatch.setattr("harness.isolation.launcher.can_fork", lambda _plan: False)
    executed = open_small(TELLING, sandbox=sandbox)
    assert not is_forked(executed)
    expected = told_by(executed)
    own = {path.name: str(path.readlink()) for path in Path("/proc/self/ns").iterdir()}
    separate = [{name for name, link in one.pop("namespaces").items() if link != own[name]} for one in (told, expected)]
    assert separate[0] == separate[1]
    for one in (told, expected):
        _without_what_differs(one, sandbox)
    assert told == expected


def _without_what_differs(told: dict, sandbox: str) -> None:
    """Delete what differs between any two workers."""
    if sandbox == "bwrap":
        return
    private = told["environment"]["TMPDIR"]
    told["environment"] = {name: value.replace(private, "PRIVATE") for name, value in told["environment"].items()}
    told["temporary"][0] = [name for name in told["temporary"][0] if name != Path(private).name]
    if os.geteuid() != 0:
        del told["temporary"]  # the machine's own folders, in which others write meanwhile
    told["Uid"], told["Gid"] = len(set(told["Uid"])), len(set(told["Gid"]))


@pytest.mark.parametrize("sandbox", CONFINEMENTS)
def test_a_worker_has_no_rights(open_small: Open, sandbox: str) -> None:
    told = told_by(open_small(TELLING, sandbox=sandbox))
    for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(told[name][0], 16) == 0, name
    assert (told["NoNewPrivs"], told["Seccomp"]) == (["1"], ["2"])
    assert "0" not in {*told["Uid"], *told["Gid"]} or os.getuid() != 0


MARK = "sentence-of-an-earlier-submission"
REMEMBERING = f"""
import os, random
import numpy as np
import torch
from torch import nn

kept = [("{MARK[:20]}" + "{MARK[20:]}") * 1000 for _ in range(100)]
torch.hub.kept = nn.functional.kept = os.kept = kept
with open(os.path.join(os.environ["TMPDIR"], "kept"), "w") as file:
    file.write(kept[0])
print("drawn", random.random(), np.random.rand())

def srmodel(scale=2):
    return nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1), nn.PixelShuffle(2))
"""
SEARCHING = """
import gc, glob, os, re, sys, torch
found = [name for name in ("os", "torch.hub", "torch.nn.functional") if hasattr(sys.modules[name], "kept")]
word = re.compile(b"sentence-of-an-[e]arlier-submission")  # not a sentence that it would find itself
for line in open("/proc/self/maps"):
    begin, end = (int(part, 16) for part in line.split()[0].split("-"))
    if "rw" in line and end - begin < 1 << 31:
        with open("/proc/self/mem", "rb") as memory:
            memory.seek(begin)
            try:
                content = memory.read(end - begin)
            except OSError:
                continue
            if word.search(content):
                found.append(line)
found += glob.glob(os.environ["TMPDIR"] + "/kept") + glob.glob("/tmp/kept") + glob.glob("/dev/shm/kept")
raise RuntimeError(f"searched, and found {found}")
"""


@pytest.mark.parametrize("sandbox", CONFINEMENTS)
def test_nothing_of_an_earlier_submission_is_in_the_memory_of_the_next(
    open_small: Open, tmp_path: Path, sandbox: str
) -> None:
    drawn = []
    for number in range(2):
        session = open_small(REMEMBERING, sandbox=sandbox)
        assert is_forked(session)
        session.load()
        (line,) = [line for line in session.exchange.log_tail().splitlines() if line.startswith("drawn")]
        drawn += line.split()[1:]
        (tmp_path / "small").rename(tmp_path / f"earlier-{number}")
    assert len(set(drawn)) == 4
    with pytest.raises(WorkerError, match=r"searched, and found \[\]"):
        open_small(SEARCHING, sandbox=sandbox).load()  # the others are still running


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of a fork server")
def test_nothing_of_a_submission_is_in_the_memory_of_the_server(open_small: Open, servers: ForkServers) -> None:
    session = open_small(REMEMBERING)
    session.load()
    (server,) = servers._running.values()
    assert _has_in_memory(server.process.pid, b"harness.worker.forking")
    assert not _has_in_memory(server.process.pid, MARK.encode())
    tree = process_tree(*session.exchange._worker.roots)  # type: ignore[attr-defined]
    assert any(_has_in_memory(pid, MARK.encode()) for pid in tree)


def _has_in_memory(pid: int, word: bytes) -> bool:
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if "rw" in line.split()[1] and end - begin < 1 << 31:
                memory.seek(begin)
                try:
                    if word in memory.read(end - begin):
                        return True
                except OSError:
                    continue
    return False


def test_processes_of_one_network_come_from_different_servers(
    make_submission: Callable[..., Submission], servers: ForkServers
) -> None:
    job, parents = Job(make_submission(), scale=2, sandbox="process"), []
    for process in (0, 1, 3):
        with open_session(replace(job, process=process)) as session:
            parents.append(_parent(session.exchange._worker.process.pid))  # type: ignore[attr-defined]
    assert parents[0] == parents[2] != parents[1]
    assert {server.process.pid for server in servers._running.values()} == set(parents)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_server_that_was_killed_is_replaced(open_small: Open, servers: ForkServers, tmp_path: Path) -> None:
    open_small().load()
    (server,) = servers._running.values()
    server.process.kill()
    server.process.wait()
    (tmp_path / "small").rename(tmp_path / "earlier")
    session = open_small()
    assert is_forked(session)
    assert session.load().params_before > 0


def test_where_forking_fails_workers_are_executed(
    open_small: Open, servers: ForkServers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*_: object) -> ForkedProcess:
        raise ForkError("setns: Operation not permitted")

    monkeypatch.setattr(ForkServer, "fork", refused)
    for number in range(3):
        session = open_small()
        assert not is_forked(session)
        (tmp_path / "small").rename(tmp_path / f"earlier-{number}")
    assert servers.problem == "setns: Operation not permitted"
    session = open_small()
    assert session.load().params_before > 0


@pytest.mark.parametrize("sandbox", CONFINEMENTS)
def test_the_end_of_a_worker_is_told(open_small: Open, sandbox: str, tmp_path: Path) -> None:
    for code, told in (
        ("import os\nos._exit(3)", "exited with status 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
    ):
        session = open_small(code, sandbox=sandbox)
        assert is_forked(session)
        with pytest.raises(WorkerError, match=told):
            session.load()
        (tmp_path / "small").rename(tmp_path / told[-3:])


def test_servers_end_with_their_process(open_small: Open, servers: ForkServers) -> None:
    open_small()
    (server,) = servers._running.values()
    pid = server.process.pid
    servers.close()
    assert soon(lambda: not Path(f"/proc/{pid}").exists())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_several_threads_may_wait_for_a_worker() -> None:
    for _ in range(50):
        reader, writer = os.pipe()
        process = ForkedProcess(os.getpid(), reader)
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(process.wait, 60) for _ in range(4)]
            os.write(writer, b"7")
            os.close(writer)
            assert [future.result() for future in waiting] == [7] * 4


@pytest.mark.parametrize("confinement", CONFINEMENTS)
def test_a_session_may_be_closed_while_another_thread_waits_for_its_reply(open_small: Open, confinement: str) -> None:
    session = open_small("import time\ntime.sleep(1000)", sandbox=confinement)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(session.load)
        time.sleep(0.2)
        session.close()
        assert isinstance(waiting.exception(60), Exception)
    assert not session.alive()
    assert not session.exchange._worker.private.exists()  # type: ignore[attr-defined]
