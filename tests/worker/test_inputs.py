"""A network cannot know a frame by the tensor that holds it: timed ones share a tensor, untimed ones share nothing."""

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from harness.backends.runner import make_runner
from harness.worker.inputs import GivenFrames

FRAMES = [torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(seed)) for seed in range(40)]


def inputs(backend: str = "eager") -> GivenFrames:
    return GivenFrames(make_runner(nn.Identity(), backend))  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["eager", "channels_last"])
def test_timed_frames_come_in_one_tensor(backend: str) -> None:
    giving = inputs(backend)
    seen = set()
    for frame in FRAMES:
        given = giving.timed(frame)
        seen.add((id(given), given.data_ptr()))
        assert torch.equal(given, frame)
    assert len(seen) == 1


@pytest.mark.parametrize("backend", ["eager", "channels_last"])
def test_no_untimed_frame_has_the_identity_of_another_or_an_address_that_can_be_foretold(backend: str) -> None:
    giving = inputs(backend)
    timed = giving.timed(FRAMES[0])
    identities, addresses = [id(timed)], [timed.data_ptr()]
    for frame in FRAMES:
        given = giving.untimed(frame)
        identities.append(id(given))
        addresses.append(given.data_ptr())
        assert torch.equal(given, frame)
        assert given.data_ptr() % 64 == 0  # as torch aligns it: the same kernels serve it
        assert given.storage_offset()
        del given
    assert len(set(identities)) == len(identities)
    assert len(set(addresses)) > len(addresses) - 5  # of 41 places among 4,096
    assert timed.storage_offset()


def test_frames_are_in_the_layout_of_the_backend() -> None:
    for backend, layout in (("eager", torch.contiguous_format), ("channels_last", torch.channels_last)):
        giving = inputs(backend)
        assert giving.timed(FRAMES[0]).is_contiguous(memory_format=layout)
        assert giving.untimed(FRAMES[0]).is_contiguous(memory_format=layout)


def test_the_memory_of_a_frame_is_freed_when_nobody_holds_it() -> None:
    giving, large = inputs(), torch.zeros(1, 3, 1000, 1000)
    before = psutil.Process().memory_info().rss
    for _ in range(100):
        giving.untimed(large.clone())  # as frames come: what is kept of each must not lie where the next one would
    assert psutil.Process().memory_info().rss - before < 30 * large.nbytes


def test_frames_of_another_type_are_given_too() -> None:
    giving = inputs()
    for frame in (FRAMES[0], FRAMES[1].half(), FRAMES[2]):
        assert torch.equal(giving.untimed(frame), frame)
        assert torch.equal(giving.timed(frame.half()), frame.half())


def test_a_frame_that_somebody_keeps_stays_as_it_was() -> None:
    giving = inputs()
    kept: list[Tensor] = [giving.untimed(FRAMES[0])]
    values = giving.untimed(FRAMES[1]).numpy()
    for frame in FRAMES[2:]:
        giving.untimed(frame)
    assert torch.equal(kept[0], FRAMES[0])
    assert np.array_equal(values, FRAMES[1].numpy())


def test_another_size_has_another_tensor() -> None:
    giving = inputs()
    first = giving.timed(FRAMES[0])
    second = giving.timed(torch.ones(1, 3, 6, 6))
    assert second.shape == (1, 3, 6, 6)
    assert torch.equal(first, FRAMES[0])


def test_a_backend_with_a_program_of_its_own_gets_the_frame_itself() -> None:
    class Program:
        network: nn.Module = nn.Identity()
        layout = None

        def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
            return frame

        def __call__(self, frame: Tensor) -> Tensor:
            return frame

    assert GivenFrames(Program()).untimed(FRAMES[0]) is FRAMES[0]
