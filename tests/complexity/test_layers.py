"""The table of layers against closed forms, and against the sums that are counted on their own."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.complexity.count import count

FULL_HD = (1, 3, 1080, 1920)
PIXELS = 1080 * 1920


class Residual(nn.Module):
    """One block that runs twice, a branch that never runs, a scale of the network's own."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(8, 8, (3, 1), padding=(1, 0), groups=4), nn.ReLU(), nn.Identity())
        self.training_only = nn.Conv2d(8, 8, 1)
        self.tail = nn.Conv2d(8, 12, 1, stride=1)
        self.shuffle = nn.PixelShuffle(2)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(self.block(self.head(x))) * self.scale
        return self.shuffle(self.tail(y))


def test_every_layer_has_its_name_type_kernel_channels_shape_and_counts() -> None:
    layers = {layer.name: layer for layer in count(Residual(), FULL_HD).layers}
    head, grouped, tail = layers["head"], layers["block.0"], layers["tail"]
    assert (head.type, head.kernel, head.in_channels, head.out_channels) == ("Conv2d", [3, 3], 3, 8)
    assert (head.params, head.macs, head.output_shape) == (27 * 8 + 8, PIXELS * 27 * 8, [1, 8, 1080, 1920])
    assert (grouped.kernel, grouped.settings, grouped.calls) == ([3, 1], "groups 4", 2)
    assert grouped.macs == 2 * PIXELS * 3 * 2 * 8
    assert (tail.params, tail.macs) == (8 * 12 + 12, PIXELS * 8 * 12)
    assert layers["shuffle"].output_shape == [1, 3, 2160, 3840]
    assert layers["shuffle"].settings == "factor 2"


def test_what_does_not_compute_has_no_row_and_unused_weights_have_one() -> None:
    layers = {layer.name: layer for layer in count(Residual(), FULL_HD).layers}
    assert not {"block", "block.2"} & set(layers)
    assert (layers["training_only"].calls, layers["training_only"].macs) == (0, 0)
    assert layers[""].params == 8


def test_the_layers_add_up_to_the_counts() -> None:
    complexity = count(Residual(), FULL_HD)
    assert sum(layer.params for layer in complexity.layers) == complexity.params
    assert sum(layer.macs for layer in complexity.layers) == complexity.macs


def test_products_outside_of_modules_belong_to_the_one_that_computes_them() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(12, 3, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return F.pixel_shuffle(F.conv2d(x, self.weight, padding=1), 2)

    (layer,) = count(Functional(), FULL_HD).layers
    assert (layer.name, layer.type, layer.params) == ("", "Functional", 12 * 27)
    assert layer.macs == PIXELS * 12 * 27


def test_shapes_follow_the_side_they_depend_on() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=(2, 1), padding=1), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1))
    halved, pooled, last = count(network, FULL_HD).layers
    assert halved.output_shape == [1, 4, 540, 1920]
    assert halved.settings == "stride 2x1"
    assert pooled.output_shape == last.output_shape == [1, 4, 1, 1]
    assert last.macs == 16


def test_a_shape_that_shrinks_as_the_frame_grows_is_unknown() -> None:
    class Shrinks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :, : 640 // x.shape[-2]]

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = Shrinks()

        def forward(self, x: Tensor) -> Tensor:
            return F.interpolate(self.part(x), size=(2 * x.shape[-2], 2 * x.shape[-1]))

    layers = count(Network(), FULL_HD).layers
    assert [layer.output_shape for layer in layers if layer.type == "Shrinks"] == [[]]


def test_shared_weights_are_counted_once() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1))
    network[2].weight = network[0].weight
    complexity = count(network, FULL_HD)
    assert [layer.params for layer in complexity.layers] == [84, 0, 3]
    assert sum(layer.params for layer in complexity.layers) == complexity.params


def test_padded_sizes_are_described_at_the_padded_size() -> None:
    network = nn.Sequential(nn.PixelUnshuffle(7), nn.Conv2d(147, 4, 1), nn.PixelShuffle(2))
    layers = count(network, FULL_HD, size_multiple=7).layers
    assert layers[1].output_shape == [1, 4, 155, 275]
    assert layers[1].macs == 155 * 275 * 147 * 4


def test_a_network_that_cannot_be_traced_has_no_layers() -> None:
    class Refuses(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("never")

    assert count(Refuses(), FULL_HD).layers == ()
