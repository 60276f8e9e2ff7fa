"""Compare bytes and operators with closed forms."""

import pytest
import torch
from torch import nn

from harness.complexity.traffic import count_traffic

H, W = 20, 30


@pytest.mark.parametrize("itemsize", [2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_reads_input_and_weights_and_writes_its_output(itemsize: int, bias: bool) -> None:
    layer = nn.Conv2d(3, 16, 5, padding=2, stride=2, bias=bias)
    counted = count_traffic(layer, (1, 3, H, W), itemsize=itemsize)
    expected = 3 * H * W + 16 * 3 * 25 + 16 * bias + 16 * (H // 2) * (W // 2)
    assert (counted.bytes, counted.operators) == (itemsize * expected, 1)


def test_views_move_nothing_and_every_operator_counts_once() -> None:
    class Steps(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.permute(0, 2, 3, 1).unsqueeze(0)[0].permute(0, 3, 1, 2)
            y = torch.relu(y)  # reads and writes
            y += x  # reads two, writes one
            return nn.functional.pixel_shuffle(y.repeat_interleave(4, 1), 2)

    counted = count_traffic(Steps(), (1, 3, H, W))
    frame = 4 * 3 * H * W
    assert counted.bytes >= frame * (2 + 3 + 5 + 8)
    assert counted.operators >= 4
    assert count_traffic(nn.Identity(), (1, 3, H, W)).bytes == 0


def test_a_broadcast_constant_is_read_once() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.gain.expand(1, 3, H, W)

    assert count_traffic(Scaled(), (1, 3, H, W)).bytes == 4 * (2 * 3 * H * W + 1)


def test_sides_are_padded_as_for_the_network() -> None:
    assert count_traffic(nn.ReLU(), (1, 3, 9, 9), size_multiple=4).bytes == 2 * 4 * 3 * 12 * 12


def test_what_needs_data_is_not_counted() -> None:
    class Looks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    assert count_traffic(Looks(), (1, 3, H, W)) is None
