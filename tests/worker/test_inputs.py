"""A network cannot tell a timed call from another one by its input: frames of one size come in one tensor."""

from typing import Any

import psutil
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from harness.backends.runner import make_runner
from harness.worker.inputs import GivenFrames

FRAMES = [torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(seed)) for seed in range(40)]


def inputs(backend: str = "eager") -> GivenFrames:
    return GivenFrames(make_runner(nn.Identity(), backend))  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["eager", "channels_last"])
def test_frames_come_in_one_tensor(backend: str) -> None:
    giving = inputs(backend)
    seen = set()
    for frame in FRAMES:
        given = giving.place(frame)
        seen.add((id(given), given.data_ptr()))
        assert torch.equal(given, frame)
        assert given.data_ptr() % 64 == 0  # as torch aligns it: the same kernels serve it
        assert given.storage_offset()
    assert len(seen) == 1


def test_the_address_cannot_be_foretold() -> None:
    offsets = {inputs().place(FRAMES[0]).storage_offset() for _ in range(40)}
    assert len(offsets) > 35  # of 40 places among 4,096


def test_frames_are_in_the_layout_of_the_backend() -> None:
    for backend, layout in (("eager", torch.contiguous_format), ("channels_last", torch.channels_last)):
        assert inputs(backend).place(FRAMES[0]).is_contiguous(memory_format=layout)


def test_frames_of_all_sizes_share_one_block_of_memory() -> None:
    giving, large = inputs(), torch.zeros(1, 3, 1000, 1000)
    before = psutil.Process().memory_info().rss
    for height in range(900, 1000):
        giving.place(large[:, :, :height].clone())
    assert psutil.Process().memory_info().rss - before < 30 * large.nbytes


@pytest.mark.parametrize("backend", ["eager", "channels_last"])
def test_no_kernel_of_the_meta_device_is_called(backend: str) -> None:
    class Operators(TorchDispatchMode):
        def __torch_dispatch__(self, operator: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
            found = operator(*args, **(kwargs or {}))
            devices.add(found.device.type)
            return found

    devices: set[str] = set()
    with Operators():
        given = inputs(backend).place(FRAMES[0])
    assert devices == {"cpu"}
    layout = torch.channels_last if backend == "channels_last" else torch.contiguous_format
    assert given.stride() == torch.empty_like(FRAMES[0], memory_format=layout).stride()


def test_frames_of_another_type_or_size_are_given_too() -> None:
    giving = inputs()
    for frame in (FRAMES[0], FRAMES[1].half(), FRAMES[2], torch.ones(1, 3, 6, 6)):
        given = giving.place(frame)
        assert given.dtype == frame.dtype
        assert torch.equal(given, frame)


def test_a_backend_with_a_program_of_its_own_gets_memory_without_an_offset() -> None:
    class Program:
        network: nn.Module = nn.Identity()
        layout = None

        def ready(self, frame: Tensor, *, main: bool = False) -> Tensor:
            return frame

        def __call__(self, frame: Tensor) -> Tensor:
            return frame

    given = GivenFrames(Program()).place(FRAMES[0])
    assert given.storage_offset() == 0
    assert torch.equal(given, FRAMES[0])
