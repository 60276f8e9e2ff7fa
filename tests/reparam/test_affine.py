"""Compare the composition of affine maps with torch's operators, including the border."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from harness.reparam import affine
from harness.reparam.affine import AffineMap
from harness.reparam.realize import convolution_form

CHANNELS = 4


def conv(generator: torch.Generator, c_in: int, c_out: int, kernel: int, padding: int, **options) -> nn.Conv2d:
    module = nn.Conv2d(c_in, c_out, kernel, padding=padding, dtype=torch.float64, **options)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module.requires_grad_(False)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image(height: int = 11, width: int = 8, channels: int = CHANNELS) -> Tensor:
    return torch.randn(1, channels, height, width, generator=seeded(7), dtype=torch.float64)


def after(value: AffineMap, module: nn.Conv2d) -> AffineMap:
    (vertical, horizontal) = module.padding
    result = affine.convolved(
        value,
        module.weight,
        module.bias,
        padding=(vertical, vertical, horizontal, horizontal),
        stride=module.stride,
        dilation=module.dilation,
        groups=module.groups,
    )
    assert result is not None
    return result


def realized(value: AffineMap, groups: tuple[int, ...] = ()) -> nn.Module:
    module = convolution_form(value, groups).module(torch.float64, torch.device("cpu"))
    return nn.Sequential(module, nn.PixelShuffle(value.shuffle))


def assert_equal(value: AffineMap, expected: Tensor, x: Tensor, groups: tuple[int, ...] = ()) -> None:
    torch.testing.assert_close(affine.apply(value, x), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(realized(value, groups)(x), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("first", "second", "exact"),
    [
        ((3, 1), (1, 0), True),
        ((3, 0), (3, 0), True),
        ((5, 4), (3, 0), True),
        ((3, 2), (3, 1), False),  # the first bias is not the second's padding
        ((3, 1), (3, 1), False),
        ((1, 0), (3, 1), False),
    ],
)
def test_two_convolutions(first, second, exact) -> None:
    one, two = conv(seeded(1), 4, 6, *first), conv(seeded(2), 6, 3, *second)
    value = after(after(affine.identity(4), one), two)
    assert value.exact is exact
    x = image(15, 13)
    gap = (affine.apply(value, x) - two(one(x))).abs()
    assert gap[..., 3:-3, 3:-3].max() < 1e-12
    assert (gap.max().item() < 1e-12) is exact


def test_without_bias_a_full_convolution_may_be_padded() -> None:
    one, two = conv(seeded(1), 4, 6, 3, 2, bias=False), conv(seeded(2), 6, 3, 3, 1)
    value = after(after(affine.identity(4), one), two)
    assert value.exact
    assert_equal(value, two(one(image())), image())


def test_padding_with_the_bias_is_exact() -> None:
    """A biased 1x1, padded with its bias, then a valid 3x3: the edge-oriented block of ECBSR."""
    one, two = conv(seeded(1), 4, 6, 1, 0), conv(seeded(2), 6, 3, 3, 0)
    value = affine.padded(after(affine.identity(4), one), (1, 1, 1, 1), one.bias)
    assert value is not None
    assert value.exact
    x = image()
    framed = one.bias.reshape(1, -1, 1, 1).expand(1, 6, 13, 10).clone()
    framed[..., 1:-1, 1:-1] = one(x)
    assert_equal(after(value, two), two(framed), x)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3])),
    groups=st.sampled_from([1, 2, 4]),
    dilation=st.sampled_from([1, 2]),
    stride=st.sampled_from([1, 2]),
    shape=st.tuples(st.integers(9, 14), st.integers(9, 14)),
)
def test_sum_of_branches(seed, sizes, groups, dilation, stride, shape) -> None:
    generator = seeded(seed)
    kernel, other = sizes
    reach = dilation * (kernel - 1) // 2
    main = conv(generator, 4, 4, kernel, reach, groups=groups, dilation=dilation, stride=stride)
    side = conv(generator, 4, 4, other, other // 2, stride=stride)
    value = affine.added(after(affine.identity(4), main), after(affine.identity(4), side))
    assert value is not None
    x = image(*shape)
    assert_equal(value, main(x) + side(x), x)


def test_crop_scale_shift_select_concatenate() -> None:
    one = conv(seeded(3), 4, 6, 3, 0)
    value = after(affine.identity(4), one)
    x = image()
    cropped = affine.padded(affine.identity(4), (-1, -1, -1, -1))
    assert cropped is not None
    both = affine.concatenated([affine.selected(value, torch.tensor([5, 0])), cropped])
    assert both is not None
    factors = torch.arange(1.0, 7.0, dtype=torch.float64)
    final = affine.shifted(affine.scaled(both, factors), factors)
    expected = torch.cat([one(x)[:, [5, 0]], x[..., 1:-1, 1:-1]], 1) * factors[:, None, None] + factors[:, None, None]
    assert_equal(final, expected, x)


def test_asymmetric_crop_becomes_a_kernel_with_zero_taps() -> None:
    value = affine.padded(after(affine.identity(4), conv(seeded(3), 4, 2, 3, 1)), (-2, 0, 0, -1))
    assert value is not None
    x = image()
    expected = conv(seeded(3), 4, 2, 3, 1)(x)[..., 2:, :-1]
    assert_equal(value, expected, x)


def test_nearest_anchor_before_a_pixel_shuffle() -> None:
    one = conv(seeded(4), 3, 12, 3, 1)
    shuffled = affine.shuffled(after(affine.identity(3), one), 2)
    anchor = affine.upsampled(affine.identity(3), 2)
    assert shuffled is not None
    assert anchor is not None
    value = affine.added(shuffled, anchor)
    assert value is not None
    x = image(channels=3)
    assert_equal(value, F.pixel_shuffle(one(x), 2) + F.interpolate(x, scale_factor=2.0, mode="nearest"), x)


def test_pointwise_convolution_after_a_pixel_shuffle() -> None:
    one, mix = conv(seeded(4), 3, 12, 3, 1), conv(seeded(5), 3, 5, 1, 0)
    shuffled = affine.shuffled(after(affine.identity(3), one), 2)
    assert shuffled is not None
    x = image(channels=3)
    assert_equal(after(shuffled, mix), mix(F.pixel_shuffle(one(x), 2)), x)


@pytest.mark.parametrize("groups", [2, 4])
def test_grouped_kernel_stays_grouped(groups) -> None:
    module = conv(seeded(6), 4, 8, 3, 1, groups=groups)
    value = after(affine.identity(4), module)
    assert convolution_form(value, {groups}).groups == groups
    assert convolution_form(value, {groups}).macs_per_output == 4 // groups * 9
    assert_equal(value, module(image()), image(), (groups,))


def test_dilated_kernel_stays_dilated() -> None:
    module = conv(seeded(6), 4, 4, 3, 2, dilation=2)
    form = convolution_form(after(affine.identity(4), module))
    assert form.dilation == (2, 2)
    assert form.weight.shape == (4, 4, 3, 3)


def test_what_cannot_be_expressed_is_refused() -> None:
    strided = after(affine.identity(4), conv(seeded(1), 4, 4, 3, 1, stride=2))
    assert affine.convolved(strided, torch.ones(4, 4, 3, 3)) is None
    assert affine.padded(strided, (1, 1, 1, 1)) is None
    assert affine.added(strided, affine.identity(4)) is None
    shuffled = affine.shuffled(affine.identity(4), 2)
    assert shuffled is not None
    assert affine.shuffled(shuffled, 2) is None
    assert affine.upsampled(shuffled, 2) is None
    valid = after(affine.identity(4), conv(seeded(1), 4, 4, 3, 0))
    assert affine.added(valid, affine.identity(4)) is None
