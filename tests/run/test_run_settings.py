"""What a run sets for all its networks: who has the device, the precision, how libraries choose algorithms."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.engines import Job
from harness.engines.inline import InlineEngine
from harness.errors import UsageError
from harness.isolation.requests import LoadReply
from harness.pipeline import FinishedRun, run
from harness.results import Entry
from harness.run.plan import RunRequest
from harness.run.progress import ProgressEvent, StageProgress
from harness.submissions.discovery import Submission, discover

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


def row_of(finished: FinishedRun) -> Entry:
    (row,) = finished.run.entries
    return row


def test_a_run_has_the_device_from_its_first_worker_to_its_last(
    submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    story: list[str] = []

    @contextmanager
    def lock(device: str, waiting: Callable[[], None]) -> Iterator[None]:
        waiting()
        story.append(f"take {device}")
        yield
        story.append("leave")

    def listen(event: ProgressEvent) -> None:
        if isinstance(event, StageProgress):
            story.append(event.stage)

    monkeypatch.setattr("harness.engines.this_machine.device_lock", lock)
    submit("one")
    submit("two", "x = x * 0.9")
    run(request_for(protocol="robust", time_budget_s=0.3), [listen], InlineEngine())
    assert story[:2] == ["wait", "take cpu"]
    assert (story.count("take cpu"), story[-1]) == (1, "leave")
    assert {"start", "time", "upscale"} <= set(story)
    story.clear()
    run(request_for(protocol="robust", time_budget_s=0.3), [listen], InlineEngine())
    assert story == []


def test_images_of_several_sizes_are_timed_at_their_own(submit: Submit, request_for: Request, images: Path) -> None:
    rows, columns = np.mgrid[0:80, 0:40]
    wave = np.stack([np.sin(rows / (3 + c)) + np.cos(columns / (4 + c)) for c in range(3)], axis=-1)
    for name in ("a-portrait", "z-portrait"):
        Image.fromarray(np.uint8(127 + 60 * wave)).save(images / f"{name}.png")
    submit("one")
    for _ in range(5):  # places that are compared are drawn
        finished = run(request_for(protocol="esr", time_budget_s=None, fresh=True), engine=InlineEngine())
        assert (row_of(finished).status, row_of(finished).error) == ("ok", None)
        assert row_of(finished).runtime_ms.samples == 4


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_drop_of_a_precision_is_that_of_its_backend(submit: Submit, request_for: Request, precision: str) -> None:
    submit("one", "x = x * 0.987")
    exact = row_of(run(request_for(), engine=InlineEngine()))
    finished = run(request_for(precision=precision, out=request_for().out.parent / "low"), engine=InlineEngine())
    row = row_of(finished)
    assert row.psnr_rgb != exact.psnr_rgb
    assert row.precision_drop_db == pytest.approx(exact.psnr_rgb - row.psnr_rgb)
    assert any(f"a CPU emulates {precision}" in warning for warning in finished.run.warnings)


# Writes how convolutions are computed into a file, and then changes it.
SETTINGS = """
        import torch.backends as backends
        seen = [backends.cudnn.benchmark, backends.cudnn.conv.fp32_precision, backends.mkldnn.conv.fp32_precision]
        with open({path!r}, "a") as file:
            print(seen, file=file)
        backends.cudnn.benchmark = not backends.cudnn.benchmark
        backends.fp32_precision = backends.cudnn.fp32_precision = "tf32"
        backends.mkldnn.conv.fp32_precision = "bf16"
"""


@pytest.mark.parametrize("strict", [True, False])
def test_the_protocol_decides_how_libraries_compute(submit: Submit, tmp_path: Path, strict: bool) -> None:
    seen = tmp_path / "seen"
    folder = submit("one", SETTINGS.format(path=str(seen)).strip())
    (found,) = discover([folder], entry_points=False)
    assert isinstance(found, Submission)
    with InlineEngine().open(Job(found, scale=2, strict=strict)) as session:
        # From the second request on, the network has changed them.
        for request in (session.load, partial(session.count, (1, 3, 8, 8)), partial(session.memory, (8, 8))):
            seen.write_text("")
            reply = request()
            assert seen.read_text().splitlines()[0] == str([strict, "none" if strict else "tf32", "none"])
            if isinstance(reply, LoadReply):
                assert "the code changed how float32 is computed while loading; restored" in reply.notes


def test_the_process_of_the_caller_keeps_its_settings(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = discover([submit("one")], entry_points=False)
    assert isinstance(found, Submission)

    def state() -> list[object]:
        numbers = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
        precisions = torch.backends.cudnn.conv.fp32_precision, torch.get_float32_matmul_precision()
        return [*numbers, *precisions, torch.backends.cudnn.benchmark, torch.get_default_dtype()]

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    products = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    torch.set_default_dtype(torch.float64)
    try:
        before = state()
        with InlineEngine().open(Job(found, scale=2)) as session:
            session.load()
            session.upscale(np.zeros((8, 8, 3), np.uint8))
        assert state() == before
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision(products)


def test_more_images_than_one_request_carries_are_refused_at_once(
    submit: Submit, request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit("one")
    monkeypatch.setattr("harness.run.plan.MAX_ARRAYS", 1)
    with pytest.raises(UsageError, match=r"esr times all images in one go, at most 1, .* has 2"):
        run(request_for(protocol="esr", time_budget_s=None), engine=InlineEngine())
    run(request_for(), engine=InlineEngine())


@pytest.mark.parametrize("budget_s", [float("inf"), float("nan"), 0.0, -1.0])
def test_a_budget_that_is_no_time_is_refused(submit: Submit, request_for: Request, budget_s: float) -> None:
    submit("one")
    with pytest.raises(UsageError, match=r"a time budget of \S+ s (is no time|leaves no time)"):
        run(request_for(time_budget_s=budget_s), engine=InlineEngine())
