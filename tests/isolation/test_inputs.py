"""A network cannot know a frame by the tensor that holds it: timed ones share a tensor, untimed ones share nothing."""

import pytest
import torch
from torch import Tensor, nn

from harness.isolation.inputs import Inputs
from harness.lanes.runner import make_runner

FRAMES = [torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(seed)) for seed in range(40)]


def inputs(lane: str = "eager") -> Inputs:
    return Inputs(make_runner(nn.Identity(), lane))  # type: ignore[arg-type]


@pytest.mark.parametrize("lane", ["eager", "channels_last"])
def test_timed_frames_come_in_one_tensor(lane: str) -> None:
    giving = inputs(lane)
    seen = set()
    for frame in FRAMES:
        given = giving.timed(frame)
        seen.add((id(given), given.data_ptr()))
        assert torch.equal(given, frame)
    assert len(seen) == 1


@pytest.mark.parametrize("lane", ["eager", "channels_last"])
def test_no_untimed_frame_has_the_identity_of_another_or_an_address_that_can_be_foretold(lane: str) -> None:
    giving = inputs(lane)
    timed = giving.timed(FRAMES[0])
    identities, addresses = [id(timed)], [timed.data_ptr()]
    for frame in FRAMES:
        with giving.untimed(frame) as given:
            identities.append(id(given))
            addresses.append(given.data_ptr())
            assert torch.equal(given, frame)
            assert given.data_ptr() % 64 == 0  # as torch aligns it: the same kernels serve it
        del given
    assert len(set(identities)) == len(identities)
    assert len(set(addresses)) > len(addresses) - 5  # of 41 places among 4,096


def test_frames_are_in_the_layout_of_the_lane() -> None:
    for lane, layout in (("eager", torch.contiguous_format), ("channels_last", torch.channels_last)):
        giving = inputs(lane)
        assert giving.timed(FRAMES[0]).is_contiguous(memory_format=layout)
        with giving.untimed(FRAMES[0]) as given:
            assert given.is_contiguous(memory_format=layout)


def test_memory_of_an_untimed_frame_is_freed_even_after_an_error() -> None:
    giving = inputs()
    kept: list[Tensor] = []

    def fail() -> None:
        with giving.untimed(FRAMES[0]) as given:
            kept.append(given)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert kept[0].numel() == 0


def test_another_size_has_another_tensor() -> None:
    giving = inputs()
    first = giving.timed(FRAMES[0])
    second = giving.timed(torch.ones(1, 3, 6, 6))
    assert second.shape == (1, 3, 6, 6)
    assert torch.equal(first, FRAMES[0])


def test_a_lane_with_a_program_of_its_own_gets_the_frame_itself() -> None:
    class Program:
        network: nn.Module = nn.Identity()
        layout = None

        def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
            return frame

        def __call__(self, frame: Tensor) -> Tensor:
            return frame

    with Inputs(Program()).untimed(FRAMES[0]) as given:
        assert given is FRAMES[0]
    assert FRAMES[0].numel()
