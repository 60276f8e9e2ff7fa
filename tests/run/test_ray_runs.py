"""Runs on a Ray cluster of nodes of this machine give what one device gives, also where a node is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import pytest
from ray_nodes import Nodes
from several import SeveralWorkers, figures, images_of, rows_of
from zoo.build import build_zoo

from harness.engines import connected
from harness.engines.inline import InlineEngine
from harness.engines.local import LocalEngine
from harness.engines.ray_cluster import RayEngine
from harness.isolation.sandbox import bwrap_problem
from harness.pipeline import run
from harness.results import Measurement
from harness.run.plan import RunRequest
from harness.run.progress import ProgressEvent, StageProgress, SubmissionFinished

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]

SANDBOX = "process" if bwrap_problem() else "bwrap"
HONEST = ("honest_trained", "strided", "odd_sizes_fail", "unicode_name", "not_contiguous", "warns_a_lot")
HOSTILE = ("exit_in_forward", "segfault", "other_scale", "reads_passwd")


class Inline(RayEngine):
    """Runs networks in the actors themselves: no worker has to be started for this test."""

    def on_site(self) -> InlineEngine:  # type: ignore[override]
        return InlineEngine()


@dataclass
class Listener:
    """Remembers what has ended, and kills the first node that times something, if it is told to."""

    engine: RayEngine
    nodes: Nodes | None = None
    ended: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    killed: str = ""

    def __call__(self, event: ProgressEvent) -> None:
        if isinstance(event, SubmissionFinished):
            self.ended.append(event.slug)
        if isinstance(event, StageProgress) and event.place:
            self.places.add(event.place)
            if self.nodes is not None and not self.killed and event.stage == "time":
                self.killed = event.place
                self.nodes.kill(self.engine.node_id(event.place.split()[0]))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with Nodes(2) as started:
        yield started


def timings(folder: Path) -> list[tuple[str, float, float]]:
    """Return place, begin and end of every group that was timed."""
    found = [Measurement.model_validate_json(one.read_bytes()).timing for one in folder.glob("measurements/*.json")]
    return sorted({(one.place, *one.span) for one in found if one is not None and one.span is not None})


def overlap(one: tuple[str, float, float], other: tuple[str, float, float]) -> bool:
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]


@pytest.mark.nightly
@pytest.mark.timeout(900)  # the nodes start slowly on a busy machine
def test_a_cluster_gives_what_one_device_gives_although_a_node_is_killed(
    submit: Submit, submit_sharp: Submit, request_for: Request, nodes: Nodes, tmp_path: Path
) -> None:
    for number in range(4):
        submit_sharp(f"sharp{number}", f"x = x * {1 - number / 100}")
    submit("raises", "raise ValueError('odd')")
    submit("other-scale", scales="[3]")
    request = request_for(protocol="robust")
    one = run(replace(request, out=tmp_path / "one"), engine=InlineEngine())
    with connected(Inline(nodes.address)) as engine:
        listener = Listener(engine)
        cluster = run(request, [listener], engine)
    assert figures(cluster) == figures(one)
    assert images_of(cluster) == images_of(one)
    assert sorted(listener.ended) == sorted(entry.slug for entry in rows_of(cluster))
    assert len(listener.places) == 2
    assert not any(overlap(*pair) for pair in combinations(timings(cluster.folder), 2))
    with connected(Inline(nodes.address)) as engine:
        listener = Listener(engine, nodes)
        survived = run(replace(request, out=tmp_path / "killed"), [listener], engine)
    assert listener.killed
    assert figures(survived) == figures(one)
    assert sorted(listener.ended) == sorted(entry.slug for entry in rows_of(survived))


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    folder = tmp_path / "zoo"
    build_zoo(folder)
    for path in folder.iterdir():
        if path.stem not in {*HONEST, *HOSTILE}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("killed", [False, True])
def test_the_zoo_on_two_nodes_ends_as_on_one_device(
    zoo: Path, request_for: Request, images: Path, tmp_path: Path, killed: bool
) -> None:
    request = request_for(submissions=(zoo,), protocol="robust", time_budget_s=0.5, sandbox=SANDBOX)
    local = run(replace(request, out=tmp_path / "local"), engine=LocalEngine())
    with Nodes(2) as nodes, connected(nodes.engine()) as engine:
        listener = Listener(engine, nodes if killed else None)
        cluster = run(request, [listener], engine)
    assert bool(listener.killed) == killed
    assert figures(cluster) == figures(local)
    assert sorted(listener.ended) == sorted(entry.slug for entry in rows_of(cluster))
    assert not any(overlap(*pair) for pair in combinations(timings(cluster.folder), 2))


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_zoo_on_two_devices_of_this_machine_ends_as_on_one(zoo: Path, request_for: Request, tmp_path: Path) -> None:
    request = request_for(submissions=(zoo,), protocol="robust", time_budget_s=0.5, sandbox=SANDBOX)
    one = run(replace(request, out=tmp_path / "one"), engine=LocalEngine())
    two = run(request, engine=SeveralWorkers())
    assert figures(two) == figures(one)
    spans = timings(two.folder)
    assert len(spans) > 1
    assert not any(overlap(*pair) for pair in combinations(spans, 2))


CONTROLLER = """
from dataclasses import replace
from pathlib import Path
from harness.engines import connected
from harness.engines.ray_cluster import RayEngine
from harness.isolation.sandbox import bwrap_problem
from harness.pipeline import run
from harness.run import plan
from harness.run.plan import RunRequest
from harness.tracks import get_track

plan.track_for_scale = lambda scale: replace(get_track("ntire23-x2"), input_shape=(1, 3, 24, 32))
with connected(RayEngine({address!r})) as engine:
    run(eval({request!r}, {{"PosixPath": Path, "RunRequest": RunRequest}}), engine=engine)
"""


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_killed_controller_is_resumed_and_leaves_no_worker(zoo: Path, request_for: Request, tmp_path: Path) -> None:
    request = request_for(submissions=(zoo,), protocol="robust", time_budget_s=0.5, sandbox=SANDBOX)
    local = run(replace(request, out=tmp_path / "local"), engine=LocalEngine())
    assert request.out is not None
    with Nodes(2) as nodes:
        program = CONTROLLER.format(address=nodes.address, request=repr(request))
        path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])
        controller = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path})
        while len(list(request.out.glob("measurements/*.json"))) < 5 and controller.poll() is None:
            time.sleep(0.1)
        controller.send_signal(signal.SIGKILL)
        assert controller.wait() == -signal.SIGKILL
        known = {path.name: path.read_bytes() for path in request.out.glob("measurements/*.json")}
        assert len(known) >= 5
        with connected(nodes.engine()) as engine:
            listener = Listener(engine)
            resumed = run(request, [listener], engine)
    assert figures(resumed) == figures(local)
    assert all((resumed.folder / "measurements" / name).read_bytes() == content for name, content in known.items())
    assert sorted(listener.ended) == sorted(entry.slug for entry in rows_of(resumed))
