"""A session from load to close, and what becomes of a worker that fails in each possible way."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import psutil
import pytest
import torch
from patience import soon

from harness.errors import WorkerError
from harness.isolation.delays import DelayReading
from harness.isolation.job import Job
from harness.isolation.limits import Limits
from harness.isolation.messages import Message
from harness.isolation.opening import open_session
from harness.isolation.requests import path_of_text
from harness.isolation.sandbox import bwrap_problem
from harness.isolation.session import Session
from harness.machine import cores
from harness.submissions.discovery import Submission, discover
from harness.worker.loader import load_network

Open = Callable[..., Session]

needs_bwrap = pytest.mark.skipif(bwrap_problem() is not None, reason=f"no sandbox: {bwrap_problem()}")

HONEST = """
from torch import nn

def srmodel(scale=2):
    return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, 1, 1), nn.PixelShuffle(scale))
"""


def test_a_worker_that_was_never_asked_leaves_the_log_of_the_one_before(open_small: Open, tmp_path: Path) -> None:
    log = tmp_path / "small.log"
    log.write_text("what the one before said")
    open_small(log_path=log).close()
    assert log.read_text() == "what the one before said"


def test_a_protocol_without_a_budget_has_the_time_that_its_calls_need(frame: np.ndarray) -> None:
    class Exchange:
        waited: ClassVar[list[float]] = []

        def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
            if message.name == "release":
                return Message("release", {})
            self.waited.append(timeout_s)
            strips = np.zeros((1, 8, 2), np.float32), np.zeros((1, 8, 3, 66), np.float32)
            body = {"samples_ms": [1e-4], "clock": "scripted", "at_s": [0.0], "varied": [[]]}
            return Message("time", body, strips)

    session = Session(Exchange(), SimpleNamespace(scale=2, value_range=1.0), 600.0)
    session.time([frame], 50, 244, 244, None, inputs="reused")
    session.time([frame], 0, 1, 1, None)
    session.time([frame], 3, 244, 3, 8.0)
    session.time([frame] * 101, 0, 100_000, 1, None, inputs="dataset")
    assert Exchange.waited == [600 + 60 * 293, 600, 608, 600 + 60 * 100]


def test_every_step_of_an_honest_network(open_small: Open, frame: np.ndarray, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "small.txt"
    code = f"print('héllo from the factory')\n{HONEST}"
    with open_small(code, log_path=log) as session:
        loaded = session.load()
        assert loaded.params_before == 3 * 12 * 9 + 12
        assert (loaded.size_multiple, loaded.weights) == (1, True)
        assert session.reparameterize([frame]).method == "none"
        assert session.count((1, 3, 1080, 1920)).macs == 1080 * 1920 * 3 * 12 * 9
        timed = session.time([frame], 1, 5, 2, None)
        assert len(timed.samples_ms) == len(timed.at_s) == 5
        assert sum(timed.samples_ms) / 1e3 <= timed.wall_s
        assert (session.memory() or 0) >= 0
        assert session.upscale(frame).shape == (46, 66, 3)
    assert "héllo from the factory" in log.read_text(encoding="utf-8")


def test_a_stopped_worker_is_looked_at_less_often(open_small: Open) -> None:
    with open_small() as session:
        session.load()
        watcher = session.exchange._worker.watcher
        session.pause()
        assert watcher.is_stopped
        session.load()
        assert not watcher.is_stopped


def test_reading_the_machines_load_is_no_part_of_a_request(
    open_small: Open, frame: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = DelayReading.now

    def slowly(*given: object) -> DelayReading:
        time.sleep(1.0)
        return now(*given)

    with open_small() as session:
        session.load()
        session.time([frame], 0, 1, 1, None)
        monkeypatch.setattr(DelayReading, "now", slowly)
        begin = time.monotonic()
        reply = session.time([frame], 0, 1, 1, None)
        assert reply.wall_s < time.monotonic() - begin - 2.0


def test_an_upscaled_frame_is_what_the_network_computes(
    make_submission: Callable[..., Submission], open_small: Open, frame: np.ndarray
) -> None:
    session = open_small(
        "import torch\nfrom torch import nn\n\ndef srmodel(scale=2):\n    torch.manual_seed(3)\n"
        "    return nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1), nn.PixelShuffle(2))\n"
    )
    session.load()
    given = session.upscale(frame)
    network = load_network(path_of_text(session.job.root), "arch:srmodel", 2, None)
    with torch.inference_mode():
        output = network(torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255)
    expected = (output[0].permute(1, 2, 0) * 255).round().clamp(0, 255).numpy()
    assert np.abs(given.astype(int) - expected).max() <= 1  # a value on the border between two levels
    assert (given == expected).mean() > 0.999


def test_missing_weights_are_said_and_the_network_is_seeded(
    make_submission: Callable[..., Submission], frame: np.ndarray
) -> None:
    submission = make_submission(extra="needs_weights = true\n")
    images = []
    for _ in range(2):
        with open_session(Job(submission, scale=2, sandbox="process")) as session:
            assert session.load().weights is False
            images.append(session.upscale(frame))
    np.testing.assert_array_equal(*images)


UNSHUFFLES = """
from torch import nn

def srmodel(scale=2):
    return nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, 48 * scale**2, 1), nn.PixelShuffle(4 * scale))
"""


def test_sizes_that_a_network_cannot_take_are_padded_and_said(open_small: Open, frame: np.ndarray) -> None:
    session = open_small(UNSHUFFLES)
    loaded = session.load()
    assert loaded.size_multiple == 4
    assert any("multiples of 4" in note for note in loaded.notes)
    assert session.upscale(frame).shape == (46, 66, 3)
    assert session.time([frame], 0, 1, 1, None).samples_ms


def network_with(forward: str) -> str:
    return f"""
import ctypes, os, signal, sys, threading, time, warnings
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        good = nn.functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        if x.shape[-2:] != (23, 33):  # that of the frame that is timed: loading and its checks take others
            return good
        {forward}
        return good

def srmodel(scale=2):
    return Network(scale)
"""


@pytest.mark.parametrize(
    ("forward", "kind", "message"),
    [
        ("raise RuntimeError('no such luck')", "RuntimeError", "no such luck"),
        ("sys.exit(3)", "SystemExit", r"sys.exit\(3\)"),
        ("os._exit(7)", "Crash", "exited with status 7"),
        ("os._exit(0)", "Crash", "exited with status 0"),
        ("ctypes.string_at(0)", "Crash", "SIGSEGV"),
        ("os.abort()", "Crash", "SIGABRT"),
        ("os.closerange(0, 65536)", "Crash", "exited with|closed the channel"),
        ("return good * float('nan')", "ContractError", "NaN"),
        ("return good[:, :, :-1]", "ContractError", "shape"),
        ("return [good]", "ContractError", "list"),
        ("return good.to(torch.uint8)", "ContractError", "uint8"),
    ],
)
def test_each_failure_in_the_timing_stage_is_named(
    open_small: Open, frame: np.ndarray, forward: str, kind: str, message: str
) -> None:
    session = open_small(network_with(forward), timeout_s=30)
    session.load()
    with pytest.raises(WorkerError, match=message) as caught:
        session.time([frame], 1, 5, 2, None)
    assert (caught.value.stage, caught.value.kind) == ("time", kind)
    if kind == "RuntimeError":
        assert "arch.py" in caught.value.log


def running(pids: list[int]) -> list[int]:
    """Return those that run; who waits to be buried does not."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [pid] if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else []
    return found


def test_a_hang_ends_at_the_deadline_with_its_children(open_small: Open, frame: np.ndarray) -> None:
    session = open_small(network_with("os.fork(); os.write(1, b'pid %d\\n' % os.getpid()); time.sleep(600)"))
    session.load()
    session.timeout_s = 3.0
    begin = time.monotonic()
    with pytest.raises(WorkerError) as caught:
        session.time([frame], 1, 5, 2, None)
    assert (caught.value.stage, caught.value.kind) == ("time", "Timeout")
    pids = [int(pid) for pid in re.findall(r"pid (\d+)", caught.value.log)]
    assert len(pids) == 2, caught.value.log
    assert time.monotonic() - begin < 60  # far from the ten minutes that they sleep
    assert soon(lambda: not running(pids))


def test_after_a_failure_the_session_says_that_the_worker_is_gone(open_small: Open, frame: np.ndarray) -> None:
    session = open_small(network_with("os._exit(7)"))
    session.load()
    for _ in range(2):
        with pytest.raises(WorkerError) as caught:
            session.time([frame], 1, 5, 2, None)
    assert caught.value.kind == "Crash"


def test_an_exception_leaves_the_worker_usable(open_small: Open, frame: np.ndarray) -> None:
    session = open_small(network_with("raise RuntimeError('large frames only')"))
    session.load()
    with pytest.raises(WorkerError):
        session.time([frame], 1, 5, 2, None)
    assert session.upscale(frame[:, :20]).shape == (46, 40, 3)


def test_memory_over_the_limit_is_an_error_that_names_memory(open_small: Open, frame: np.ndarray) -> None:
    code = network_with("kept = [torch.ones(1 << 26) for _ in range(32)]")  # stops at 8 GiB
    session = open_small(code, limits=Limits(memory_bytes=2 << 30))
    session.load()
    with pytest.raises(WorkerError, match=r"(?i)memory") as caught:
        session.time([frame], 1, 5, 2, None)
    assert caught.value.kind in {"RuntimeError", "MemoryError", "MemoryLimit", "OutOfMemoryError"}


def test_a_frame_on_the_channel_by_the_submission_is_refused(open_small: Open, frame: np.ndarray) -> None:
    forge = (
        "[os.write(fd, b'SRH1' + bytes(64)) for fd in range(3, 1024) if os.path.exists(f'/proc/self/fd/{fd}') "
        "and os.readlink(f'/proc/self/fd/{fd}').startswith('socket')]"
    )
    session = open_small(network_with(forge), timeout_s=30)
    session.load()
    with pytest.raises(WorkerError, match="forged") as caught:
        session.time([frame], 1, 5, 2, None)
    assert caught.value.kind == "Disqualified"


def test_the_worker_sees_nothing_of_the_controllers_environment(
    open_small: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    code = "import os\nraise RuntimeError(sorted(os.environ))"
    session = open_small(code)
    with pytest.raises(WorkerError, match="PYTHONPATH") as caught:
        session.load()
    assert "SECRET_TOKEN" not in str(caught.value)
    assert caught.value.stage == "load"


def test_a_flood_of_output_is_bounded(open_small: Open, frame: np.ndarray, tmp_path: Path) -> None:
    log = tmp_path / "flood.txt"
    code = network_with("[print('x' * 65535) for _ in range(1600)]; print('the end')")
    with open_small(code, log_path=log) as session:
        session.load()
        session.time([frame], 1, 1, 1, None)
    text = log.read_text()
    assert len(text) < 700_000
    assert "bytes omitted" in text
    assert text.rstrip().endswith("the end")


@pytest.mark.parametrize("sandbox", ["process", pytest.param("bwrap", marks=needs_bwrap)])
@pytest.mark.parametrize(
    ("arch", "steps"),
    [
        pytest.param(
            ["import time\nprint('loading')\ntime.sleep(600)"],
            "threading.Thread(target=session.load, daemon=True).start()\n"
            "while 'loading' not in session.exchange.log_tail():\n    time.sleep(0.05)\n",
            id="loading",
        ),
        pytest.param([], "session.load()\nsession.pause()\n", id="stopped"),
    ],
)
def test_the_worker_dies_with_the_controller(
    make_submission: Callable[..., Submission], tmp_path: Path, sandbox: str, arch: list[str], steps: str
) -> None:
    submission = make_submission(*arch)
    program = tmp_path / "controller.py"
    program.write_text(
        "import os, threading, time\nfrom pathlib import Path\n"
        "from harness.isolation.job import Job\nfrom harness.isolation.opening import open_session\n"
        "from harness.isolation.processes import process_tree\n"
        "from harness.submissions.discovery import discover\n"
        f"(found,) = discover([Path({str(submission.root)!r})], entry_points=False)\n"
        f"session = open_session(Job(found, scale=2, sandbox={sandbox!r}))\n"
        f"{steps}"
        "print(*process_tree(os.getpid())[1:], flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=240)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) >= (2 if not arch else 1), done.stderr
    assert soon(lambda: not running(pids)), "a worker outlives its controller"


@pytest.mark.parametrize("name", [b"caf\xe9 100%25", "\u8d85\u5206".encode(), b"new\nline"])
def test_a_folder_may_be_called_anything(make_submission: Callable[..., Submission], name: bytes) -> None:
    made = make_submission()
    strange = made.root.parent / os.fsdecode(name)
    made.root.rename(strange)
    (found,) = discover([strange], entry_points=False)
    with open_session(Job(found, scale=2, sandbox="process", timeout_s=120)) as session:
        assert session.load().params_before > 0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process to a core")
@pytest.mark.parametrize("sandbox", ["process", *(["bwrap"] if bwrap_problem() is None else [])])
def test_a_worker_is_bound_to_as_many_cores_as_it_has_threads(
    open_small: Open, monkeypatch: pytest.MonkeyPatch, sandbox: str
) -> None:
    monkeypatch.setattr("harness.isolation.launcher.bound_cores", cores.bound_cores)
    code = "import os\nraise RuntimeError(f'bound to {sorted(os.sched_getaffinity(0))}')"
    with pytest.raises(WorkerError) as caught:
        open_small(code, threads=1, sandbox=sandbox).load()
    assert f"bound to {cores.bound_cores(1)}" in str(caught.value)
    assert len(cores.bound_cores(1)) == 1
