"""Further metrics: lookup by name, computed together with PSNR and SSIM."""

import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.data import write_png
from harness.errors import UsageError
from harness.plugins import Registry
from harness.quality import ImageFailure, ImageScore, get_metric, list_metrics, score_folders
from harness.quality.metrics import METRICS, Metric
from harness.quality.perceptual import require_lpips


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def largest_error(sr: np.ndarray, hr: np.ndarray) -> float:
    return float(np.abs(sr.astype(int) - hr).max())


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Registry[Metric]:
    """Metrics of a package that declares two, one of them no function."""
    points = [
        EntryPoint("largest", f"{__name__}:largest_error", "harness.metrics"),
        EntryPoint("broken", "math:pi", "harness.metrics"),
    ]
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(largest_error=largest_error))
    return replace(METRICS, find=lambda _: points)


def test_an_installed_metric_is_computed_beside_the_others(tmp_path: Path, declared: Registry[Metric]) -> None:
    write_png(tmp_path / "sr" / "a.png", image(0))
    write_png(tmp_path / "hr" / "a.png", image(1))
    chosen = {"largest": get_metric("largest", declared)}
    (score,) = score_folders(tmp_path / "sr", tmp_path / "hr", metrics=chosen)
    assert isinstance(score, ImageScore)
    assert score.others == {"largest": largest_error(image(0), image(1))}


def test_a_metric_that_fails_is_a_failed_image(tmp_path: Path) -> None:
    write_png(tmp_path / "sr" / "a.png", image(0))
    write_png(tmp_path / "hr" / "a.png", image(1))
    (failure,) = score_folders(tmp_path / "sr", tmp_path / "hr", metrics={"odd": lambda sr, hr: 1 / 0})
    assert isinstance(failure, ImageFailure)
    assert failure.reason == "metric odd failed (ZeroDivisionError: division by zero)"


def test_what_is_no_metric_is_named(declared: Registry[Metric]) -> None:
    assert list_metrics() == ["lpips"]
    with pytest.raises(UsageError, match="not a function"):
        get_metric("broken", declared)
    with pytest.raises(UsageError, match="broken, largest"):
        get_metric("ssim2", declared)


@pytest.fixture
def _no_lpips_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pretend that no package has LPIPS; both download weights, so that stand-ins take their place."""
    for package in ("lpips", "torchvision", "torchmetrics.functional.image"):
        monkeypatch.setitem(sys.modules, package, None)
    require_lpips.cache_clear()
    yield
    require_lpips.cache_clear()


def difference(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    assert sr.shape == hr.shape
    assert sr.shape[:2] == (1, 3)
    return (sr - hr).mean().view(1, 1, 1, 1)


BLACK, WHITE = np.zeros((70, 84, 3), np.uint8), np.full((70, 84, 3), 255, np.uint8)


@pytest.mark.usefixtures("_no_lpips_yet")
def test_lpips_gets_frames_from_minus_one_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stand(torch.nn.Module):
        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()
            warnings.warn("as torchvision does", UserWarning, stacklevel=1)
            assert (net, verbose) == ("alex", False)

        def forward(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
            return difference(sr, hr)

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=Stand))
    assert get_metric("lpips")(BLACK, WHITE) == -2.0


@pytest.mark.usefixtures("_no_lpips_yet")
def test_torchmetrics_has_lpips_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def learned(img1: torch.Tensor, img2: torch.Tensor, net_type: str) -> torch.Tensor:
        assert net_type == "alex"
        return difference(img1, img2).squeeze()

    functions = SimpleNamespace(learned_perceptual_image_patch_similarity=learned)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", functions)
    assert get_metric("lpips")(WHITE, BLACK) == 2.0


@pytest.mark.usefixtures("_no_lpips_yet")
def test_without_a_package_lpips_says_what_to_install_before_anything_is_measured() -> None:
    with pytest.raises(UsageError, match=r"pip install lpips"):
        get_metric("lpips")


@pytest.mark.usefixtures("_no_lpips_yet")
def test_without_weights_lpips_says_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(net: str, verbose: bool) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=offline))
    with pytest.raises(UsageError, match=r"Name or service not known.*copy them into torch's cache folder"):
        get_metric("lpips")
