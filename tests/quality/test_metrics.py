"""Further metrics: found by name, computed beside PSNR and SSIM."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness import plugins
from harness.data import write_png
from harness.errors import UsageError
from harness.quality import ImageFailure, ImageScore, get_metric, list_metrics, metrics, score_folders


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def largest_error(sr: np.ndarray, hr: np.ndarray) -> float:
    return float(np.abs(sr.astype(int) - hr).max())


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that a package declares two metrics, one of them no function."""
    points = [
        EntryPoint("largest", f"{__name__}:largest_error", "harness.metrics"),
        EntryPoint("broken", "math:pi", "harness.metrics"),
    ]
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(largest_error=largest_error))
    monkeypatch.setattr(plugins, "entry_points", lambda group: [p for p in points if p.group == group])


@pytest.mark.usefixtures("installed")
def test_an_installed_metric_is_computed_beside_the_others(tmp_path: Path) -> None:
    write_png(tmp_path / "sr" / "a.png", image(0))
    write_png(tmp_path / "hr" / "a.png", image(1))
    chosen = {"largest": get_metric("largest")}
    (score,) = score_folders(tmp_path / "sr", tmp_path / "hr", metrics=chosen)
    assert isinstance(score, ImageScore)
    assert score.others == {"largest": largest_error(image(0), image(1))}


def test_a_metric_that_fails_is_a_failed_image(tmp_path: Path) -> None:
    write_png(tmp_path / "sr" / "a.png", image(0))
    write_png(tmp_path / "hr" / "a.png", image(1))
    (failure,) = score_folders(tmp_path / "sr", tmp_path / "hr", metrics={"odd": lambda sr, hr: 1 / 0})
    assert isinstance(failure, ImageFailure)
    assert failure.reason == "metric odd failed (ZeroDivisionError: division by zero)"


@pytest.mark.usefixtures("installed")
def test_what_is_no_metric_is_named() -> None:
    assert list_metrics() == ["broken", "largest", "lpips"]
    with pytest.raises(UsageError, match="not a function"):
        get_metric("broken")
    with pytest.raises(UsageError, match="broken, largest, lpips"):
        get_metric("ssim2")


def test_lpips_gets_frames_from_minus_one_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package itself downloads weights, so a stand-in receives what LPIPS would."""

    class Stand(torch.nn.Module):
        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()
            assert (net, verbose) == ("alex", False)

        def forward(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
            assert sr.shape == (1, 3, 20, 24)
            assert (sr.min(), hr.max()) == (-1.0, 1.0)
            return (sr - hr).mean().view(1, 1, 1, 1)

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=Stand))
    metrics._alexnet.cache_clear()
    black, white = np.zeros((20, 24, 3), np.uint8), np.full((20, 24, 3), 255, np.uint8)
    assert get_metric("lpips")(black, white) == -2.0
    metrics._alexnet.cache_clear()


def test_without_its_package_lpips_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    metrics._alexnet.cache_clear()
    with pytest.raises(UsageError, match="pip install lpips"):
        get_metric("lpips")(image(0), image(1))
