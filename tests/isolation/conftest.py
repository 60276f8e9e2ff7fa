"""Small submissions written to a temporary folder, and sessions for them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.isolation.job import Job
from harness.isolation.opening import open_session
from harness.isolation.session import Session
from harness.submissions.discovery import Submission, discover

HONEST = """
from torch import nn

def srmodel(scale=2):
    return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, 1, 1), nn.PixelShuffle(scale))
"""


@pytest.fixture
def make_submission(tmp_path: Path) -> Callable[..., Submission]:
    """Return a function that writes a submission with the given ``arch.py`` and manifest lines."""

    def make(code: str = HONEST, extra: str = "", name: str = "small") -> Submission:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "arch.py").write_text(code)
        (folder / "submission.toml").write_text(f'[submission]\nname = "{name}"\nscales = [2, 3]\n{extra}')
        (found,) = discover([folder], entry_points=False)
        assert isinstance(found, Submission), found
        return found

    return make


@pytest.fixture
def open_small(make_submission: Callable[..., Submission]) -> Iterator[Callable[..., Session]]:
    """Return a function that opens a session on a small submission; closed at the end of the test."""
    opened: list[Session] = []

    def open_it(code: str = HONEST, extra: str = "", **options: object) -> Session:
        settings = {"scale": 2, "timeout_s": 60.0, "sandbox": "process", **options}
        opened.append(open_session(Job(make_submission(code, extra), **settings)))  # type: ignore[arg-type]
        return opened[-1]

    yield open_it
    for session in opened:
        session.close()


@pytest.fixture(scope="session")
def frame() -> np.ndarray:
    """Return a small frame with odd sides."""
    return np.random.default_rng(1).integers(0, 256, (23, 33, 3), dtype=np.uint8)
