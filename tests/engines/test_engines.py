"""Engines open sessions that behave alike."""

import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from harness.engines import Engine, Job, LocalEngine, inline
from harness.engines.inline import InlineEngine, InlineExchange
from harness.errors import WorkerError
from harness.isolation.messages import Message
from harness.submissions.discovery import Submission, discover

CODE = """
import torch
from torch import nn

def srmodel(scale=2):
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, 1, 1), nn.PixelShuffle(scale))
"""


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    (tmp_path / "arch.py").write_text(CODE)
    (tmp_path / "submission.toml").write_text('[submission]\nname = "small"\nscales = [2, 3]\n')
    (found,) = discover([tmp_path], entry_points=False)
    assert isinstance(found, Submission)
    return found


def upscaled(engine: Engine, submission: Submission) -> tuple[int, np.ndarray]:
    frame = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    with engine.open(Job(submission, scale=3, sandbox="process")) as session:
        params = session.load().params_before
        assert session.reparameterize([frame]).params_after == params
        assert session.count((1, 3, 720, 1280)).macs == 720 * 1280 * 9 * 3 * 27
        assert len(session.time([frame], 1, 3, 3, None).samples_ms) == 3
        return params, session.upscale(frame)


def test_the_inline_engine_gives_what_a_worker_gives(submission: Submission) -> None:
    inline, local = upscaled(InlineEngine(), submission), upscaled(LocalEngine(), submission)
    assert inline[0] == local[0]
    np.testing.assert_array_equal(inline[1], local[1])


def test_the_inline_engine_reports_failures_as_a_worker_does(submission: Submission) -> None:
    (submission.root / "arch.py").write_text("import sys\n\ndef srmodel(scale=2):\n    sys.exit(4)\n")
    with InlineEngine().open(Job(submission, scale=2)) as session, pytest.raises(WorkerError) as caught:
        session.load()
    assert caught.value.stage == "load"
    assert caught.value.kind == "SubmissionError"
    assert "SystemExit" in str(caught.value)


def test_waiting_for_another_request_of_the_inline_engine_counts_as_delay() -> None:
    """Requests are answered one at a time, so the time of one may hold that of another."""
    exchange, started = InlineExchange(), Event()

    def hold() -> None:
        with inline._ONE_AT_A_TIME:
            started.set()
            time.sleep(0.3)

    thread = Thread(target=hold)
    thread.start()
    started.wait()
    reply = exchange.request(Message("count", {"input_shape": [1, 3, 8, 8]}), 10.0, 0)
    thread.join()
    assert reply.name == "error"  # nothing is loaded
    assert reply.delay_s > 0.2
