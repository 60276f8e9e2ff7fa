"""Frames to tensors and back, and what is refused of a network's output."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ContractError
from harness.worker.frames import check_output, to_image, to_input


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1.0, 255.0]), st.integers(1, 8))
def test_a_frame_through_an_identity_comes_back_unchanged(h: int, w: int, value_range: float, multiple: int) -> None:
    image = np.random.default_rng(h * w).integers(0, 256, (h, w, 3), dtype=np.uint8)
    given_ = to_input(image, value_range, multiple)
    assert given_.shape[2] % multiple == 0
    assert given_.shape[3] % multiple == 0
    assert given_.dtype == torch.float32
    np.testing.assert_array_equal(to_image(given_, value_range, h, w), image)


def test_white_is_the_value_range_and_the_edge_is_repeated() -> None:
    image = np.full((3, 5, 3), 255, np.uint8)
    image[2, 4] = (10, 20, 30)
    tensor = to_input(image, 255.0, 4)
    assert tensor.shape == (1, 3, 4, 8)
    assert tensor[0, 0, 0, 0] == 255.0
    assert tensor[0, :, 3, 7].tolist() == pytest.approx([10, 20, 30])
    assert to_input(image, 1.0, 1).max() == 1.0


def test_values_are_rounded_and_clamped_not_wrapped() -> None:
    output = torch.tensor([-0.2, 0.4 / 255, 0.6 / 255, 1.3]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert to_image(output, 1.0, 2, 2)[:, :, 0].ravel().tolist() == [0, 0, 1, 255]


def test_rounding_is_the_same_in_both_ranges() -> None:
    levels = torch.rand(1, 3, 40, 40) * 255
    np.testing.assert_array_equal(to_image(levels, 255.0, 40, 40), levels.round()[0].permute(1, 2, 0).to(torch.uint8))


GIVEN = torch.zeros(1, 3, 4, 6)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ([torch.zeros(1, 3, 8, 12)], "returns a list"),
        (None, "returns a NoneType"),
        (torch.zeros(1, 3, 8, 11), "1 x 3 x 8 x 11"),
        (torch.zeros(3, 8, 12), "3 x 8 x 12"),
        (torch.zeros(1, 1, 8, 12), "1 x 1 x 8 x 12"),
        (torch.zeros(1, 3, 8, 12, dtype=torch.uint8), "type uint8"),
        (torch.full((1, 3, 8, 12), float("nan")), "288 values"),
        (torch.zeros(1, 3, 8, 12).index_fill(3, torch.tensor(2), float("inf")), "24 values"),
        (torch.zeros(1, 3, 8, 12, device="meta"), "on meta"),
    ],
)
def test_what_is_not_an_upscaled_frame_is_refused(output: object, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        check_output(output, GIVEN, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_an_upscaled_frame_is_accepted(dtype: torch.dtype) -> None:
    output = torch.ones(1, 3, 8, 12, dtype=dtype)
    assert check_output(output, GIVEN, 2) is output


def test_infinities_of_opposite_sign_are_seen() -> None:
    output = torch.zeros(1, 3, 8, 12)
    output[0, 0, 0, 0], output[0, 0, 0, 1] = float("inf"), float("-inf")
    with pytest.raises(ContractError, match="2 values"):
        check_output(output, GIVEN, 2)
