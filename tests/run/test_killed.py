"""A run that is killed goes on where it was: the same table in the end, and nothing measured twice."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from harness.engines import Job
from harness.engines.inline import InlineEngine
from harness.isolation.messages import Message
from harness.isolation.session import Session
from harness.pipeline import run
from harness.results import Measurement, read_run
from harness.run.plan import RunRequest

Submit = Callable[..., Path]

KILLS = int(os.environ.get("HARNESS_KILLS", "5"))
PROTOCOLS = ("ntire23-cpu", "robust")
TIMED = {
    "roofline", "runtime_ms", "score", "score_ci", "fps", "peak_memory_bytes", "rank", "rank_range", "tied_with",
    "stage_seconds", "energy",
}  # fmt: skip


@pytest.fixture
def submit(submit_sharp: Submit) -> Submit:
    """Submit networks better than bicubic: another use is tried of worse ones, in a process of its own."""
    return submit_sharp


@dataclass
class Runs:
    """The program in ``killable.py``."""

    program: subprocess.Popen[str]

    def run(self, protocol: str, folder: Path, kill_after_s: float | None = None) -> int:
        """Return the exit status of a run."""
        self.program.stdin.write(f"{protocol} {folder} {'never' if kill_after_s is None else kill_after_s}\n")
        self.program.stdin.flush()
        return int(self.program.stdout.readline())


@pytest.fixture
def runs(submit: Submit, images: Path, tmp_path: Path) -> Iterator[Runs]:
    for name, body in {"a": "pass", "b": "x = x * 0.999", "c": "raise OSError('inside')"}.items():
        submit(name, body)
    command = [sys.executable, str(Path(__file__).parent / "killable.py"), str(tmp_path / "submissions"), str(images)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        yield Runs(program)
        os.killpg(program.pid, signal.SIGKILL)  # with its forks, whatever they do: nothing may wait for them forever


def table(folder: Path) -> dict:
    """Return what a run says, without what was timed and when."""
    content = read_run(folder).model_dump(mode="json")
    for key in ("id", "created", "stage_seconds"):
        del content["run"][key]
    for key in ("disturbances", "foreign_load", "warnings"):  # of the machine, while it was timed
        del content[key]
    content["comparisons"] = [pair["slugs"] for pair in content["comparisons"]]  # of scores, which times decide
    rows = [{key: value for key, value in row.items() if key not in TIMED} for row in content["entries"]]
    return {**content, "entries": sorted(rows, key=lambda row: row["slug"])}


def stored(folder: Path, kind: str) -> dict[str, Measurement]:
    """Return the whole measurements, or unfinished ones, that lie in a run's folder; all of them must be readable."""
    return {
        path.stem: Measurement.model_validate_json(path.read_bytes()) for path in (folder / kind).glob("[!.]*.json")
    }


def requests(folder: Path) -> Counter[str]:
    """Return how often each network was asked for what, and forget it."""
    events = folder.with_suffix(".events")
    lines = events.read_text().splitlines() if events.exists() else []
    events.unlink(missing_ok=True)
    return Counter(lines)


@pytest.mark.timeout(900)
def test_a_run_killed_at_any_moment_ends_in_the_same_table(runs: Runs, tmp_path: Path) -> None:
    random = Random(7)
    whole, length_s = {}, {}
    for protocol in PROTOCOLS:
        folder = tmp_path / f"whole-{protocol}"
        begin = time.monotonic()
        assert runs.run(protocol, folder) == 0
        length_s[protocol] = time.monotonic() - begin
        whole[protocol] = table(folder)
    killed = reused = timing_reused = 0
    for number in itertools.count():
        protocol, folder = PROTOCOLS[number % 2], tmp_path / f"killed-{number}"
        if runs.run(protocol, folder, random.uniform(0, length_s[protocol])) == 0:
            length_s[protocol] *= 0.9  # it was faster than the first time
            continue
        killed += 1
        before, timed = stored(folder, "measurements"), stored(folder, "unfinished")
        requests(folder)
        assert runs.run(protocol, folder) == 0
        assert table(folder) == whole[protocol]
        after, asked = stored(folder, "measurements"), requests(folder)
        for fingerprint, measurement in before.items():
            assert after[fingerprint] == measurement
        for fingerprint in timed.keys() - before.keys():
            assert after[fingerprint].timing == timed[fingerprint].timing
            timing_reused += 1
        # A network that is far below bicubic is loaded once more, with another value range.
        assert sum(asked[f"load {name}"] > 0 for name in "abc") == 3 - len(before)
        reused += len(before)
        assert not list(folder.rglob("*.part"))
        assert not list((folder / "unfinished").glob("*.json"))
        if killed == KILLS:
            break
    print(json.dumps({"reused": reused, "timing reused": timing_reused, **length_s}))
    assert reused > 0


def test_what_was_timed_is_not_timed_again(submit: Submit, request_for: Callable[..., RunRequest]) -> None:
    for name, body in {"a": "pass", "b": "x = x * 0.999"}.items():
        submit(name, body)
    asked: list[str] = []

    class Stopped(InlineEngine):
        """Is interrupted at the second network's first image after the first network has been finished and stored."""

        stops = True

        def open(self, job: Job) -> Session:
            session = super().open(job)
            ask, name = session.exchange.request, job.submission.root.name

            def request(message: Message, timeout_s: float, max_payload: int) -> Message:
                if message.name != "time" or message.body["repeats"] > 1:  # a single call is for its image
                    asked.append(f"{message.name} {name}")
                if self.stops and message.name == "upscale" and name == "b" and stored(options.out, "measurements"):
                    raise KeyboardInterrupt
                return ask(message, timeout_s, max_payload)

            session.exchange.request = request
            return session

    engine = Stopped()
    options = request_for(protocol="robust", time_budget_s=0.2)
    stopped = run(options, engine=engine)
    assert [entry.name for entry in stopped.run.entries] == ["a"]
    (unfinished,) = stored(stopped.folder, "unfinished").values()
    assert "time b" in asked
    asked.clear()
    engine.stops = False
    resumed = run(options, engine=engine)
    assert {entry.name for entry in resumed.run.entries} == {"a", "b"}
    assert "time b" not in asked
    assert "load a" not in asked
    assert unfinished.timing in [m.timing for m in stored(resumed.folder, "measurements").values()]
    assert stored(resumed.folder, "unfinished") == {}
