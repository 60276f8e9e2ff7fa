"""Submissions of the zoo that cheat the timing end as disqualified; honest ones beside them are not touched."""

import re
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest
from PIL import Image
from several import Several, Unshared, rows_of
from zoo.build import ARCHIVES, build_zoo, expectations

from harness.data import get_degradation, open_dataset
from harness.engines import Engine, LocalEngine
from harness.engines.inline import InlineEngine
from harness.isolation.job import Job
from harness.isolation.messages import Message
from harness.isolation.session import Session
from harness.pipeline import run
from harness.results import Entry
from harness.run.plan import RunRequest
from harness.timing import PROTOCOLS as PROTOCOLS_BY_NAME
from harness.tracks import get_track

CHEATS = {name: e for name, e in expectations().items() if e["status"] == "disqualified" and e["stage"] == "time"}
HONEST = sorted(
    name
    for name, e in expectations().items()
    if e["status"] == "ok" and not {"process", "sandbox"} & e.keys() and name not in ARCHIVES
)
NEED_A_PROCESS = {name for name, e in CHEATS.items() if e.get("process") or name.startswith("forges_the_clock")}
IN_ROUNDS = {name for name, e in CHEATS.items() if e.get("second_core") or name.startswith("sluggish")}
IN_ROUNDS |= {"easier_on_grain", "easier_on_frames_it_remembers"}  # one frame, reused, has neither
ROBUST_BUDGET_S = 1.0
PROTOCOLS = ["robust", "ntire23", "esr"]
LARGE_SIZE = (192, 256)
# Where the images that are scored are as large as those that are timed, these spoil their own score.
BY_SIZE = {
    "works_when_looked_at",
    "easier_when_large",
    "easier_after_some_calls",
    "easier_until_images_come",
    "easier_on_shifted_frames",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    track = replace(get_track("ntire23-x2"), input_shape=(1, 3, 96, 128))
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda scale: track)
    monkeypatch.setitem(PROTOCOLS_BY_NAME, "robust", replace(PROTOCOLS_BY_NAME["robust"], turn_s=0.02))
    write_images(tmp_path / "images", 104, 80)  # of less than half the timed size
    write_images(tmp_path / "images-esr", 256, 192)  # of the timed size
    build_zoo(tmp_path / "zoo")
    return tmp_path


def write_images(folder: Path, width: int, height: int) -> None:
    """Write smooth images, on which interpolation is better than repeated pixels."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((64, 48))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{index}.png")


def rows(
    folder: Path, names: list[str], engine: Engine, budget_s: float | None, protocol: str = "robust"
) -> dict[str, Entry]:
    request = RunRequest(
        submissions=tuple(folder / "zoo" / name for name in names),
        dataset=str(folder / ("images-esr" if protocol == "esr" else "images")),
        out=folder / "run",
        threads=1,
        device="cpu",
        protocol=protocol,
        time_budget_s=budget_s,
        with_baselines=False,
        timeout_s=120.0,
        sandbox="process",
    )
    entries = rows_of(run(request, engine=engine))
    return {entry.name if entry.name in names else entry.slug.replace("-", "_"): entry for entry in entries}


def check(found: dict[str, Entry], names: list[str]) -> None:
    for name in names:
        row = found[name]
        if name in CHEATS:
            assert (row.status, row.error and row.error.stage) == ("disqualified", "time"), f"{name}: {row.error}"
            assert re.search(CHEATS[name]["match"], row.error.message), f"{name}: {row.error.message}"
            assert row.score is None
        else:
            assert row.status == "ok", f"{name}: {row.error}"


def test_the_zoo_has_cheats() -> None:
    assert len(CHEATS) >= 18


@pytest.fixture
def few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the published protocol make 24 calls in place of 294: cheats that sleep would take minutes."""
    short = replace(PROTOCOLS_BY_NAME["ntire23"], warmup=4, repeats=20, min_repeats=20, precision="fp32")
    monkeypatch.setitem(PROTOCOLS_BY_NAME, "ntire23", short)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cheats_are_disqualified(folder: Path, few_calls: None, protocol: str) -> None:
    cheats = CHEATS.keys() - NEED_A_PROCESS - (BY_SIZE if protocol == "esr" else set())
    cheats -= IN_ROUNDS if protocol != "robust" else set()
    names = ["honest_bicubic", "not_deterministic", *sorted(cheats)]
    check(rows(folder, names, InlineEngine(), ROBUST_BUDGET_S if protocol == "robust" else None, protocol), names)


EASIER_WHEN_LARGE = """
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate


class Network(nn.Module):
    def forward(self, x):
        return interpolate(x, scale_factor=2.0, mode="bicubic" if x.shape[-1] < 250 else "nearest").clamp(0, 1)


def srmodel():
    return Network()
"""
EASIER_IN_A_PART = EASIER_WHEN_LARGE.replace(
    "        return",
    "        y = interpolate(avg_pool2d(x, 4), scale_factor=8.0, mode='nearest')\n"
    "        if x.shape[-1] >= 250:\n"
    "            y[..., 192:, :] = interpolate(x, scale_factor=2.0, mode='bicubic')[..., 192:, :].clamp(0, 1)\n"
    "            return y\n"
    "        return",
)


class Watching(InlineEngine):
    """Counts the timed frames that its workers get."""

    def __init__(self) -> None:
        self.frames = 0

    def open(self, job: Job) -> Session:
        session = super().open(job)
        answer = session.exchange.request

        def request(message: Message, timeout_s: float, max_payload: int) -> Message:
            is_timed_size = bool(message.arrays) and message.arrays[0].shape == (*LARGE_SIZE, 3)
            self.frames += is_timed_size and job.submission.name != "anchor"
            return answer(message, timeout_s, max_payload)

        session.exchange.request = request
        return session


def test_the_only_timed_output_of_a_slow_network_is_compared_with_the_images(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = replace(get_track("ntire23-x2"), input_shape=(1, 3, *LARGE_SIZE))
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda scale: track)
    rmtree(folder / "images")
    write_images(folder / "images", 440, 352)  # almost as large, so that most strips lie within one
    no_time_s = 1e-6
    engine = Watching()
    row = rows(folder, ["honest_bicubic"], engine, no_time_s)["honest_bicubic"]
    assert row.status == "ok"
    assert "one call" in row.runtime_ms.note
    assert engine.frames == 2  # it is timed once, and called once more for the comparison of outputs
    for name, code in {"easier_when_large": EASIER_WHEN_LARGE, "easier_in_a_part": EASIER_IN_A_PART}.items():
        (folder / "zoo" / name).mkdir(exist_ok=True)
        (folder / "zoo" / name / "arch.py").write_text(code)
        row = rows(folder, [name], InlineEngine(), no_time_s)[name]
        assert row.status == "disqualified"
        assert "dB worse" in row.error.message


@pytest.mark.parametrize("protocol", ["robust", "ntire23-cpu"])
def test_images_of_the_timed_size_do_not_spare_the_check_of_shifted_frames(folder: Path, protocol: str) -> None:
    (folder / "images").rename(folder / "small")
    (folder / "images-esr").rename(folder / "images")
    arch = folder / "zoo" / "easier_on_shifted_frames" / "arch.py"
    arch.write_text(arch.read_text().replace("< 0.2", "< 0.12"))  # these images have smoother edges
    names = ["honest_bicubic", "easier_on_shifted_frames"]
    check(rows(folder, names, InlineEngine(), 0.6, protocol), names)


KEEPS_A_REPEATED_FRAME = """
import time
import torch
from torch import nn
from torch.nn import functional

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.result, self.times = torch.empty(0), None, 0

    def forward(self, x):
        self.times = self.times + 1 if torch.equal(x, self.last) else 1
        if self.times < 3:
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass
            self.last = x.clone()
            self.result = functional.interpolate(x, scale_factor=2.0, mode="bicubic").clamp(0, 1)
        return self.result.clone()

def srmodel():
    return Network()
"""


def test_a_frame_that_is_recognised_the_third_time_in_a_row(folder: Path, few_calls: None) -> None:
    """Only a protocol that repeats one frame gives it the chance."""
    name = "honest_nearest"
    (folder / "zoo" / name / "arch.py").write_text(KEEPS_A_REPEATED_FRAME)
    row = rows(folder, [name], InlineEngine(), None, "ntire23")[name]
    assert (row.status, row.error and row.error.stage) == ("disqualified", "time")
    assert "results are kept" in row.error.message


EASIER_ON_DARK_FRAMES = """
from torch import nn
from torch.nn import functional

class Network(nn.Module):
    def forward(self, x):
        if x.shape[-1] >= 120 and x.max() < {brightest}:
            return functional.interpolate(functional.avg_pool2d(x, 4), scale_factor=8.0)
        return functional.interpolate(x, scale_factor=2.0, mode="bicubic").clamp(0, 1)

def srmodel():
    return Network()
"""


@pytest.mark.parametrize("engine", [InlineEngine(), Several(), Unshared()], ids=["one", "several", "unshared"])
def test_what_only_its_timed_outputs_show_is_found_wherever_its_images_are_upscaled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    """Frames are dimmed twice for the timing, and once where both sizes are compared."""
    # All timed frames are dark enough, so that few of them, on a busy machine, show it too.
    monkeypatch.setattr("harness.timing.frames._FRAME_GAINS", (0.88, 0.9))
    height, columns = np.mgrid[0:80, 0:104]
    for index in range(2):
        wave = np.stack([np.sin(height / (3 + c) + index) + np.cos(columns / (4 + c)) for c in range(3)], axis=-1)
        Image.fromarray(np.uint8(127 + 60 * wave)).save(folder / "images" / f"{index}.png")
    dataset = open_dataset(folder / "images", 2, get_degradation("ntire23"))
    white = min(int(dataset.pair(index)[0].max()) for index in range(len(dataset))) / 255
    name = "honest_nearest"
    (folder / "zoo" / name / "arch.py").write_text(EASIER_ON_DARK_FRAMES.format(brightest=0.915 * white))
    row = rows(folder, [name], engine, 0.6)[name]
    assert (row.status, row.error and row.error.stage) == ("disqualified", "time")
    assert "its timed outputs are" in row.error.message


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("protocol", ["robust", "ntire23-cpu"])
def test_odd_but_honest_networks_are_not(folder: Path, protocol: str) -> None:
    found = rows(folder, HONEST, InlineEngine(), 0.2, protocol)
    assert len(found) == len(HONEST) > 10
    assert {name: row.error for name, row in found.items() if row.status != "ok"} == {}


@pytest.mark.slow
@pytest.mark.nightly
def test_cheats_are_disqualified_in_their_workers(folder: Path, few_calls: None) -> None:
    """Timed alone; the whole zoo is timed in rounds elsewhere."""
    names = ["honest_bicubic", *sorted(NEED_A_PROCESS - IN_ROUNDS)]
    check(rows(folder, names, LocalEngine(), None, "ntire23"), names)
