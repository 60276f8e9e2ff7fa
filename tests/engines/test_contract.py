"""What every engine promises: inline, local, and on a Ray cluster of two nodes of this machine."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ray_nodes import Nodes

from harness.engines import Engine, Job, LocalEngine, connected, get_engine
from harness.engines.inline import InlineEngine
from harness.errors import UsageError, WorkerError
from harness.isolation.session import Session
from harness.submissions.discovery import Submission, discover

CODE = """
import torch
from torch import nn

print("seen in the log")

def srmodel(scale=2):
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, 1, 1), nn.PixelShuffle(scale))
"""
FRAME = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
pytestmark = pytest.mark.timeout(900)  # the nodes start slowly on a busy machine
ENGINES = ("inline", "local", "ray")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with Nodes(2) as started:
        yield started


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made: Engine
    if request.param == "ray":
        nodes: Nodes = request.getfixturevalue("nodes")
        made = nodes.engine()
    else:
        made = LocalEngine() if request.param == "local" else InlineEngine()
    with connected(made):
        yield made


@pytest.fixture
def submit(tmp_path: Path) -> Callable[[str], Submission]:
    def write(code: str) -> Submission:
        folder = tmp_path / "small"
        folder.mkdir(exist_ok=True)
        (folder / "arch.py").write_text(code)
        (folder / "submission.toml").write_text('[submission]\nname = "small"\nscales = [2, 3]\n')
        (found,) = discover([folder], entry_points=False)
        assert isinstance(found, Submission)
        return found

    return write


def job_on(engine: Engine, number: int, submission: Submission, **changes: object) -> Job:
    place = engine.devices("cpu", 1)[number]
    job = Job(submission, scale=3, sandbox="process", machine=place.machine, device=place.device.kind, timeout_s=120.0)
    return replace(job, **changes)  # type: ignore[arg-type]


def test_it_describes_its_devices(engine: Engine) -> None:
    places = engine.devices("cpu", 1)
    assert len({place.machine for place in places}) == len(places) == (2 if engine.name == "ray" else 1)
    for place in places:
        assert (place.device.kind, place.device.threads) == ("cpu", 1)
        assert place.device.name
        assert place.device.torch
        assert {"numpy", "pillow"} <= set(place.device.versions)
        assert place.device.memory_bytes is not None
        assert 0 < place.free_bytes() <= place.device.memory_bytes
        assert 0 <= place.busy() <= 1
        assert place.card().read() is None  # a processor has none
    with pytest.raises(UsageError, match="is not available"):
        engine.devices("tpu:7", 1)


def test_it_locks_a_device(engine: Engine) -> None:
    waited: list[str] = []
    (place, *_) = engine.devices("cpu", 1)
    with place.lock(lambda: waited.append("")), place.lock(lambda: waited.append("")):
        assert waited == []  # a processor is not locked: its load is reported


def test_every_place_gives_the_same_network(engine: Engine, submit: Callable[[str], Submission]) -> None:
    submission = submit(CODE)
    images = []
    for number in range(len(engine.devices("cpu", 1))):
        with engine.open(job_on(engine, number, submission)) as session:
            assert isinstance(session, Session)
            params = session.load().params_before
            assert params == 9 * 3 * 27 + 27
            assert session.reparameterize([FRAME]).params_after == params
            assert session.count((1, 3, 720, 1280)).macs == 720 * 1280 * 9 * 3 * 27
            assert len(session.time([FRAME], 1, 3, 3, None).samples_ms) == 3
            session.pause()
            assert session.alive()
            assert (session.cpu_s() or 0) > 0
            images.append(session.upscale(FRAME))
    with InlineEngine().open(Job(submission, scale=3)) as session:
        session.load()
        reference = session.upscale(FRAME)
    for image in images:
        np.testing.assert_array_equal(image, reference)


def test_a_failure_says_where_and_why_and_the_log_is_here(
    engine: Engine, submit: Callable[[str], Submission], tmp_path: Path
) -> None:
    submission = submit('print("seen in the log")\n\ndef srmodel(scale=2):\n    raise SystemExit(4)\n')
    log = tmp_path / "small.log"
    with engine.open(job_on(engine, 0, submission, log_path=log)) as session:
        with pytest.raises(WorkerError, match="SystemExit") as caught:
            session.load()
        assert (caught.value.stage, caught.value.kind) == ("load", "SubmissionError")
    if engine.name != "inline":  # which prints to the terminal
        assert "seen in the log" in log.read_text()


@pytest.mark.parametrize("engine", ["local", "ray"], indirect=True)
def test_a_worker_that_ends_is_told(engine: Engine, submit: Callable[[str], Submission]) -> None:
    ends = submit("import os\n\ndef srmodel(scale=2):\n    os._exit(7)\n")
    with engine.open(job_on(engine, 0, ends)) as session:
        with pytest.raises(WorkerError, match="exited with status 7") as caught:
            session.load()
        assert (caught.value.stage, caught.value.kind) == ("load", "Crash")
        assert not session.alive()


def test_functions_are_called_on_each_machine(engine: Engine) -> None:
    places = engine.devices("cpu", 1)
    executors = {place.machine: engine.executor(place.machine, 1) for place in places}
    pids = {executor.submit(os.getpid).result(60) for executor in executors.values()}
    if engine.shares_files:
        assert pids == {os.getpid()}
    else:
        assert len(pids) == len(places)
        assert os.getpid() not in pids
    first = next(iter(executors.values()))
    with pytest.raises(UsageError, match="no engine is called 'cloud'") as caught:
        first.submit(get_engine, "cloud").result(60)
    assert "inline, local, ray" in str(caught.value)
    shared = engine.share(FRAME)
    np.testing.assert_array_equal(first.submit(shared.get).result(60), FRAME)
    for executor in executors.values():
        executor.shutdown()
