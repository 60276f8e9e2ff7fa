"""A row far below bicubic says which other use of the network would be better, and no other row does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.engines import Job
from harness.engines.inline import InlineEngine
from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.session import Session
from harness.pipeline import run
from harness.results import Entry
from harness.run.plan import RunRequest

SHARP = "functional.interpolate(x, scale_factor=float(self.scale), mode='bicubic')"
DARK_FIRST = f"{SHARP}.minimum(torch.tensor([0.4, 2.0, 2.0]).view(3, 1, 1))"
"""Keeps its first channel below 0.4, which is right for the blue of the images below and wrong for their red."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of two smooth images whose red is bright and whose blue is dark."""
    folder = tmp_path / "images"
    folder.mkdir()
    rows, columns = np.mgrid[0:96, 0:128]
    for index, name in enumerate(("first", "second")):
        wave = np.sin(rows / 3 + index) + np.cos(columns / 4)
        Image.fromarray(np.uint8(np.stack([180 + 30 * wave, 120 + 30 * wave, 50 + 20 * wave], -1))).save(
            folder / f"{name}.png"
        )
    return folder


@pytest.fixture
def row_of(submit: Callable[..., Path], request_for: Callable[..., RunRequest]) -> Callable[..., Entry]:
    """Return a function that runs a network and returns its row."""

    def measure(output: str, value_range: float = 1.0) -> Entry:
        folder = submit("network", output=output)
        with (folder / "submission.toml").open("a") as manifest:
            manifest.write(f"value_range = {value_range}\n")
        (entry,) = run(request_for(), engine=InlineEngine()).run.entries
        return entry

    return measure


@pytest.mark.parametrize(
    ("output", "value_range", "use"),
    [
        (DARK_FIRST, 1.0, "BGR images"),
        (f"{SHARP}.clamp(0, 1)", 255.0, "value_range = 1.0"),
        (f"{SHARP}.round()", 1.0, "value_range = 255.0"),
        (f"{DARK_FIRST}.clamp(0, 1)", 255.0, "value_range = 1.0 and BGR images"),
    ],
)
def test_a_use_that_is_better_is_named(row_of: Callable[..., Entry], output: str, value_range: float, use: str) -> None:
    row = row_of(output, value_range)
    assert (row.status, row.error) == ("ok", None)
    (note,) = [note for note in row.notes if "would reach" in note]
    assert f" dB with {use}, in place of " in note
    assert row.rank is None


@pytest.mark.parametrize(
    "output", [SHARP, f"1 - {SHARP}", f"{SHARP} * 0", f"{SHARP}.mean(1, keepdim=True).expand(-1, 3, -1, -1)"]
)
def test_no_use_is_named_where_none_is_better(row_of: Callable[..., Entry], output: str) -> None:
    assert [note for note in row_of(output).notes if "would reach" in note] == []


def test_other_data_sets_are_measured_in_the_declared_range(
    submit: Callable[..., Path], request_for: Callable[..., RunRequest], images: Path, tmp_path: Path
) -> None:
    """Whatever was tried to explain a low figure, the next data set is measured as that data set alone is."""
    further = tmp_path / "mirrored"
    further.mkdir()
    for path in images.iterdir():
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(further / path.name)
    with (submit("network", output=f"{SHARP}.clamp(0, 1)") / "submission.toml").open("a") as manifest:
        manifest.write("value_range = 255.0\n")
    (alone,) = run(request_for(dataset=str(further), out=tmp_path / "alone"), engine=InlineEngine()).run.entries
    for engine in (InlineEngine(), OneRange()):
        request = request_for(further_datasets=(str(further),), out=tmp_path / type(engine).__name__)
        (row,) = run(request, engine=engine).run.entries
        assert (row.status, row.error) == ("ok", None)
        assert row.datasets["mirrored"].psnr_rgb == alone.psnr_rgb < 20
        assert any("would reach" in note for note in row.notes) == (type(engine) is InlineEngine)


def test_a_breach_of_the_rules_in_another_use_ends_the_submission(
    submit: Callable[..., Path], request_for: Callable[..., RunRequest]
) -> None:
    with (submit("network", output=f"{SHARP}.clamp(0, 1)") / "submission.toml").open("a") as manifest:
        manifest.write("value_range = 255.0\n")
    (row,) = run(request_for(), engine=OneRange(DISQUALIFIED)).run.entries
    assert row.status == "disqualified"


class OneRange(InlineEngine):
    """Starts no worker in another value range than the declared one."""

    def __init__(self, kind: str = "MemoryLimit") -> None:
        self.kind = kind

    def open(self, job: Job) -> Session:
        if job.submission.manifest.value_range != 255.0:
            raise WorkerError("no memory", stage="start", kind=self.kind)
        return super().open(job)
