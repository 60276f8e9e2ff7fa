"""The bundle of a tiny competition."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from tiny_competition import TRACK, write_network, write_pictures

from harness.codabench import BundleRequest, write_bundle
from harness.codabench.settings import Measuring


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the competition's HR images."""
    return write_pictures(tmp_path_factory.mktemp("pictures") / "HR")


@pytest.fixture(scope="session")
def track_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the rules of the competition."""
    path = tmp_path_factory.mktemp("track") / "tiny.toml"
    path.write_text(TRACK)
    return path


@pytest.fixture(scope="session")
def bundle(pictures: Path, track_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the competition."""
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    request = BundleRequest(
        track=str(track_file),
        start=datetime(2026, 3, 1, 9, 30),  # noqa: DTZ001 -- Codabench drops time zones
        datasets=(str(pictures),),
        measuring=Measuring(device="cpu", threads=1, time_budget_s=0.05, processes=1),
    )
    write_bundle(request, path)
    return path


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a submission of code."""
    return lambda body="pass": write_network(tmp_path / "network", body)
