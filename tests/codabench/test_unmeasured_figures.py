"""A competition that could never score anybody is refused, and a missing figure is named without blame."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.codabench import BundleRequest, write_bundle
from harness.codabench.columns import scores_of
from harness.errors import ResultsError, UsageError
from harness.results.schema import Entry
from harness.tracks import get_track


def test_a_formula_of_figures_that_no_run_measures_is_refused(tmp_path: Path) -> None:
    request = BundleRequest(track="ntire-mobile-2026", start=datetime.now(UTC))
    with pytest.raises(UsageError) as caught:
        write_bundle(request, tmp_path / "bundle.zip")
    for name in get_track("ntire-mobile-2026").given_by_hand:
        assert name in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_figures_that_are_missing_are_named() -> None:
    entry = Entry(name="submission", kind="submission", status="ok", slug="submission", psnr_rgb=30.0)
    with pytest.raises(ResultsError, match=r"lpips.*no submission can supply"):
        scores_of(entry, get_track("ntire-mobile-2026"), "mean", measured=True)
    with pytest.raises(ResultsError, match="needs runtime_ms, which the submission lacks"):
        scores_of(entry, get_track("ntire23-x2"), "mean", measured=True)
