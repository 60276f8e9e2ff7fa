"""The roofline on a model's page: words, table and figure from the row alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.report.page import build_report
from harness.report.roofline_plot import BOTTOM, LEFT, RIGHT, TOP, roofline_plot
from harness.results.schema import Ceilings, Roofline

ROOF = Roofline(
    bytes_moved=200_000_000, operators=40, macs_per_s=50e9, bytes_per_s=5e9, compute_fraction=0.5,
    memory_fraction=0.25, launch_fraction=0.001, bound="compute",
    ceilings=Ceilings(macs_per_s=100e9, bytes_per_s=20e9, launch_s=2e-6),
)  # fmt: skip


def test_the_page_says_what_bounds_a_network(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    results = json.loads((folder / "results.json").read_text())
    results["entries"][0]["roofline"] = ROOF.model_dump(mode="json")
    (folder / "results.json").write_text(json.dumps(results))
    build_report(folder)
    slug = results["entries"][0]["slug"]
    page = (folder / "models" / f"{slug}.html").read_text()
    assert "Closest to the limit of arithmetic." in page
    assert "50.0 of 100.0 GMAC/s" in page
    assert "200.0 MB" in page
    assert 'aria-label="Rate against arithmetic intensity' in page
    other = (folder / "models" / f"{results['entries'][1]['slug']}.html").read_text()
    assert "Roofline" not in other


def test_the_roof_bends_at_the_balance_of_the_device_and_the_network_is_under_it() -> None:
    plot = roofline_plot(ROOF)
    foot, bend, end = (tuple(map(float, part.split())) for part in plot.roof.removeprefix("M").split("L"))
    assert foot[0] == LEFT < bend[0] < end[0] == RIGHT
    assert bend[1] == end[1] < foot[1] <= BOTTOM  # up is less
    decade = (RIGHT - LEFT) / (len(plot.intensities) - 1)
    assert bend[0] - plot.point[0] == pytest.approx(-decade * 0.30103, abs=0.1)  # 10 against 5 MACs per byte
    assert TOP < bend[1] < plot.point[1]


def test_a_network_without_arithmetic_has_no_figure() -> None:
    assert roofline_plot(ROOF.model_copy(update={"macs_per_s": 0.0})) is None
