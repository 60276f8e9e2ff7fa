"""What a network stores while it is counted does not remain in the process that times it."""

import os
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.complexity.apart import apart
from harness.complexity.count import count
from harness.complexity.traffic import count_traffic
from harness.reparam import reparameterize

GRIDS: dict[str, Tensor] = {}
SIZE = (1, 3, 60, 80)


class KeepsGridsInItsModule(nn.Module):
    """Warps by a grid that it makes once for each size, as published networks for motion do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        key = str(x.shape)
        if key not in GRIDS:
            rows, columns = (torch.linspace(-1, 1, side) for side in x.shape[-2:])
            across, down = torch.meshgrid(columns, rows, indexing="xy")
            GRIDS[key] = torch.stack([across, down], -1)[None].to(x.device)
        return F.pixel_shuffle(self.layer(F.grid_sample(x, GRIDS[key], align_corners=True)), 2)


class KeepsMasksInItsClass(nn.Module):
    masks: dict[tuple[int, ...], Tensor] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.masks.setdefault(tuple(x.shape), torch.full_like(x, 0.999))
        return F.pixel_shuffle(self.layer(x * mask), 2)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process count as one without other threads, which a worker is; one that runs tests has some."""
    monkeypatch.setattr("threading.active_count", lambda: 1)


def test_beside_other_threads_the_function_is_called_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.active_count", lambda: 2)
    assert apart(os.getpid) == os.getpid()


@pytest.mark.parametrize("kind", [KeepsGridsInItsModule, KeepsMasksInItsClass])
def test_a_network_with_a_cache_runs_after_it_was_counted(kind: type[nn.Module]) -> None:
    network = kind().eval()
    with torch.no_grad():
        reparameterize(network, sizes=[SIZE[2:]])
        counted = count(network, SIZE)
        count_traffic(network, SIZE)
        output = network(torch.rand(SIZE))
    assert output.shape == (1, 3, 120, 160)
    assert output.device.type == "cpu"
    assert counted.macs >= 3 * 12 * 9 * 60 * 80


def test_a_result_comes_back_and_a_change_does_not() -> None:
    changed: list[int] = []

    def function() -> tuple[int, list[int]]:
        changed.append(1)
        return os.getpid(), changed

    process, seen = apart(function)
    assert process != os.getpid()
    assert (seen, changed) == ([1], [])


def _raises() -> None:
    raise ValueError("a message")


def _ends() -> None:
    os._exit(3)


def _returns_what_cannot_be_pickled() -> Callable[[], None]:
    return lambda: None


@pytest.mark.parametrize("function", [_raises, _ends, _returns_what_cannot_be_pickled])
def test_a_failure_raises(function: Callable[[], None]) -> None:
    with pytest.raises(RuntimeError):
        apart(function)


def test_a_process_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.complexity.apart._GRACE_S", 0.2)
    begin = time.monotonic()
    with pytest.raises(RuntimeError):
        apart(lambda: time.sleep(60), 0.1)
    assert time.monotonic() - begin < 10


def test_where_no_process_can_be_forked_the_function_is_called_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", fork)
    assert apart(os.getpid) == os.getpid()
    monkeypatch.setattr("sys.platform", "darwin")
    assert apart(os.getpid) == os.getpid()
