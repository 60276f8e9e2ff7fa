"""A run by a track of another package: its report needs the package no more once the run is saved."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.engines.inline import InlineEngine
from harness.errors import UsageError
from harness.pipeline import run
from harness.report.page import build_report
from harness.run.plan import RunRequest
from harness.tracks import catalogue, get_track

THEIRS = replace(
    get_track("ntire23-x2"),
    name="theirs-x2",
    input_shape=(1, 3, 24, 32),
    formula=lambda psnr, runtime_ms, bicubic: math.hypot(runtime_ms, bicubic - psnr),
    metric="psnr_y",
    higher_is_better=False,
    fps_bands=(5.0, 500.0),
)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_rebuilt_byte_for_byte_after_its_track_is_uninstalled(
    submit: Callable[..., Path], request_for: Callable[..., RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [EntryPoint("theirs-x2", f"{__name__}:THEIRS", "harness.tracks")]
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(THEIRS=THEIRS))
    monkeypatch.setattr(catalogue, "TRACKS", replace(catalogue.TRACKS, find=lambda _: points))
    submit("one")
    submit("darker", "x = x * 0.9")
    finished = run(request_for(track="theirs-x2", with_baselines=True), engine=InlineEngine())
    track = finished.run.track
    assert (track.metric, track.higher_is_better, track.fps_bands) == ("psnr_y", False, (5.0, 500.0))
    assert track.score_expression is None
    assert track.score_table is not None
    before = files(finished.folder)
    points.clear()
    with pytest.raises(UsageError, match="theirs-x2"):
        get_track("theirs-x2")
    for page in finished.folder.rglob("*.html"):
        page.unlink()
    build_report(finished.folder)
    assert files(finished.folder) == before
