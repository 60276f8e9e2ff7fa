"""A run says which LR images it used, and where HR was cut: in results.json, on the page and in the terminal."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.cli.terminal import data_lines
from harness.data import write_png
from harness.engines.inline import InlineEngine
from harness.pipeline import run
from harness.results import read_run
from harness.run.plan import RunRequest


def pixels(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_run_says_which_lr_images_it_used(
    submit: Callable[..., Path], request_for: Callable[..., RunRequest], tmp_path: Path
) -> None:
    """PSNR of repeated pixels by hand: HR repeats each pixel of the given LR, so only these give no error."""
    submit("one")
    lr = pixels(0, 40, 48)
    hr = np.pad(lr.repeat(2, 0).repeat(2, 1), ((0, 1), (0, 1), (0, 0)))
    write_png(tmp_path / "set" / "HR" / "baby.png", hr)
    write_png(tmp_path / "set" / "LR_bicubic" / "X2" / "babyx2.png", lr)
    finished = run(request_for(dataset=str(tmp_path / "set")), engine=InlineEngine())
    stored = read_run(finished.folder)
    (row,) = [entry for entry in stored.entries if entry.name == "one"]
    assert row.psnr_rgb == pytest.approx(100.0)
    assert stored.dataset.lr == "as given in LR_bicubic/X2 (baby.png with babyx2.png)"
    assert stored.dataset.hr_cut == "HR cut to the size of LR times 2: at the top left in 1 images"
    page = finished.report.read_text()
    assert "LR as given in LR_bicubic/X2 (baby.png with babyx2.png)" in page
    assert "at the top left in 1 images" in page
    assert data_lines(stored) == [f"LR images: {stored.dataset.lr}", stored.dataset.hr_cut]


def test_a_run_says_that_it_made_lr_images(submit: Callable[..., Path], request_for: Callable[..., RunRequest]) -> None:
    submit("one")
    stored = run(request_for(), engine=InlineEngine()).run
    assert stored.dataset.lr.startswith("made from HR by the harness (Pillow bicubic, then JPEG quality 90")
    assert len(data_lines(stored)) == 1
