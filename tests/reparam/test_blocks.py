"""Published training blocks collapse to one convolution without the author's method."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.reparam import reparameterize

C = 8


def randomize(network: nn.Module, seed: int = 0) -> nn.Module:
    """Set random weights of realistic magnitude and random statistics of batch normalization."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith("running_var"):
            tensor.data.uniform_(0.3, 2.0, generator=generator)
        elif name.endswith(("running_mean", "bias")):
            tensor.data.normal_(0, 0.3, generator=generator)
        elif tensor.is_floating_point() and tensor.dim() == 1:
            tensor.data.uniform_(0.5, 1.5, generator=generator)
        elif tensor.is_floating_point() and not name.endswith("mask"):
            tensor.data.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
    return network.eval()


def conv_bn(c_in: int, c_out: int, kernel: int | tuple[int, int], padding=0, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, padding=padding, groups=groups, bias=False), nn.BatchNorm2d(c_out)
    )


class RepVGGBlock(nn.Module):
    """RepVGG (Ding et al., CVPR 2021): 3x3, 1x1 and identity, each with batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = conv_bn(C, C, 3, 1)
        self.point = conv_bn(C, C, 1)
        self.skip = nn.BatchNorm2d(C)
        self.attention = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.dense(x) + self.point(x) + self.skip(x))


class MobileOneBlock(nn.Module):
    """MobileOne (Vasu et al., CVPR 2023): several depthwise branches, a 1x1 scale branch and a skip."""

    def __init__(self, branches: int = 3) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv_bn(C, C, 3, 1, groups=C) for _ in range(branches))
        self.scale = conv_bn(C, C, 1, groups=C)
        self.skip = nn.BatchNorm2d(C)

    def forward(self, x: Tensor) -> Tensor:
        out = self.skip(x) + self.scale(x)
        for branch in self.branches:
            out += branch(x)
        return out


class ACBlock(nn.Module):
    """ACNet (Ding et al., ICCV 2019): 3x3, 1x3 and 3x1."""

    def __init__(self) -> None:
        super().__init__()
        self.square = conv_bn(C, C, 3, 1)
        self.row = conv_bn(C, C, (1, 3), (0, 1))
        self.column = conv_bn(C, C, (3, 1), (1, 0))

    def forward(self, x: Tensor) -> Tensor:
        return self.square(x) + self.row(x) + self.column(x)


class BNAndPad(nn.Module):
    """Batch normalization of DBB, which pads with its output for zero; not traceable."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(C)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        out = F.pad(self.bn(x), [self.padding] * 4)
        value = self.bn.bias - self.bn.running_mean * self.bn.weight / torch.sqrt(self.bn.running_var + self.bn.eps)
        value = value.view(1, -1, 1, 1)
        out[:, :, : self.padding, :] = value
        out[:, :, -self.padding :, :] = value
        out[:, :, :, : self.padding] = value
        out[:, :, :, -self.padding :] = value
        return out


class DBB(nn.Module):
    """Diverse Branch Block (Ding et al., CVPR 2021): 3x3; 1x1; 1x1 then 3x3; 1x1 then average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.origin = conv_bn(C, C, 3, 1)
        self.point = conv_bn(C, C, 1)
        self.sequence = nn.Sequential(
            nn.Conv2d(C, C, 1, bias=False), BNAndPad(1), nn.Conv2d(C, C, 3, bias=False), nn.BatchNorm2d(C)
        )
        self.pooled = nn.Sequential(
            nn.Conv2d(C, C, 1, bias=False), BNAndPad(1), nn.AvgPool2d(3, stride=1), nn.BatchNorm2d(C)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.origin(x) + self.point(x) + self.sequence(x) + self.pooled(x)


SOBEL = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
LAPLACE = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])


class BiasPadded(nn.Module):
    """1x1, its output framed by its bias, then a 3x3 that does not pad: a branch of ECBSR's block."""

    def __init__(self, middle: int, filter_3x3: Tensor | None = None) -> None:
        super().__init__()
        self.k0 = nn.Parameter(torch.empty(middle, C, 1, 1))
        self.b0 = nn.Parameter(torch.empty(middle))
        self.b1 = nn.Parameter(torch.empty(C))
        self.fixed = filter_3x3 is not None
        if filter_3x3 is None:
            self.k1 = nn.Parameter(torch.empty(C, middle, 3, 3))
        else:
            self.scale = nn.Parameter(torch.empty(C, 1, 1, 1))
            self.mask = nn.Parameter(filter_3x3.repeat(C, 1, 1, 1), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.pad(F.conv2d(x, self.k0, self.b0), (1, 1, 1, 1), "constant", 0)
        frame = self.b0.view(1, -1, 1, 1)
        y[:, :, 0:1, :] = frame
        y[:, :, -1:, :] = frame
        y[:, :, :, 0:1] = frame
        y[:, :, :, -1:] = frame
        if self.fixed:
            return F.conv2d(y, self.scale * self.mask, self.b1, groups=C)
        return F.conv2d(y, self.k1, self.b1)


class ECB(nn.Module):
    """Edge-oriented Convolution Block (ECBSR, Zhang et al., ACM MM 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(C, C, 3, padding=1)
        self.expanded = BiasPadded(2 * C)
        self.sobel_x = BiasPadded(C, SOBEL)
        self.sobel_y = BiasPadded(C, SOBEL.T)
        self.laplacian = BiasPadded(C, LAPLACE)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.expanded(x) + self.sobel_x(x) + self.sobel_y(x) + self.laplacian(x) + x


class EdgeBlock(nn.Module):
    """An edge-oriented block with its bias padding written inside the block itself, weights assembled in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(C, 2 * C, 1)
        self.middle = nn.Conv2d(2 * C, 2 * C, 3)
        self.reduce = nn.Conv2d(2 * C, C, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.expand(x)
        framed = F.pad(wide, (1, 1, 1, 1), "constant", 0)
        frame = self.expand.bias.view(1, -1, 1, 1)
        framed[:, :, 0:1, :] = frame
        framed[:, :, -1:, :] = frame
        framed[:, :, :, 0:1] = frame
        framed[:, :, :, -1:] = frame
        return self.reduce(self.middle(framed) + wide) + x


class RepBlock(nn.Module):
    """Re-parameterized block of RFDN's followers (FMEN, EFDN): 1x1 to 2C, bias-padded 3x3 plus identity, 1x1 back."""

    def __init__(self) -> None:
        super().__init__()
        self.edge = EdgeBlock()
        self.plain = nn.Conv2d(C, C, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.edge(x) + self.plain(x)


class OnlineBlock(nn.Module):
    """OREPA (Hu et al., CVPR 2022): branch kernels are added up in every forward, before one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.origin = nn.Parameter(torch.empty(C, C, 3, 3))
        self.point = nn.Parameter(torch.empty(C, C, 1, 1))
        self.first = nn.Parameter(torch.empty(2 * C, C, 1, 1))
        self.second = nn.Parameter(torch.empty(C, 2 * C, 3, 3))
        self.vector = nn.Parameter(torch.empty(3, C))
        self.bn = nn.BatchNorm2d(C)

    def forward(self, x: Tensor) -> Tensor:
        sequence = torch.einsum("omhw,mi->oihw", self.second, self.first[:, :, 0, 0])
        kernels = torch.stack([self.origin, F.pad(self.point, (1, 1, 1, 1)), sequence])
        return self.bn(F.conv2d(x, torch.einsum("boihw,bo->oihw", kernels, self.vector), padding=1))


class Squeeze(torch.autograd.Function):
    """Custom autograd function that scales, which cannot be traced."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x * 0.5

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient


class CustomFunctionBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(C, 2 * C, 3, padding=1)
        self.two = nn.Conv2d(2 * C, C, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != C:
            raise ValueError("channels")
        return self.two(Squeeze.apply(self.one(x)))


class RenewingBlock(nn.Module):
    """SPAN's block (Wan et al., CVPRW 2024): merges its branches into ``eval_conv`` again in every forward."""

    def __init__(self) -> None:
        super().__init__()
        self.skip = nn.Conv2d(C, C, 1)
        self.conv = nn.Sequential(nn.Conv2d(C, 2 * C, 1), nn.Conv2d(2 * C, 2 * C, 3), nn.Conv2d(2 * C, C, 1))
        self.eval_conv = nn.Conv2d(C, C, 3, padding=1)

    def update_weights(self) -> None:
        one, two, three = (layer.weight.data.clone().detach() for layer in self.conv)
        a, b, c = (layer.bias.data.clone().detach() for layer in self.conv)
        merged = torch.einsum("om,mnhw,ni->oihw", three[:, :, 0, 0], two, one[:, :, 0, 0])
        self.eval_conv.weight.data = merged + F.pad(self.skip.weight.data, (1, 1, 1, 1))
        self.eval_conv.bias.data = three[:, :, 0, 0] @ (two.sum((2, 3)) @ a + b) + c + self.skip.bias.data

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.conv(F.pad(x, (1, 1, 1, 1))) + self.skip(x)
        self.update_weights()
        return self.eval_conv(x)


DENSE = 9 * C * C + C
DEPTHWISE = 9 * C + C
BLOCKS = [
    (RepVGGBlock, DENSE),
    (MobileOneBlock, DEPTHWISE),
    (ACBlock, DENSE),
    (DBB, DENSE),
    (ECB, DENSE),
    (EdgeBlock, DENSE),
    (RepBlock, DENSE),
    (OnlineBlock, DENSE),
    (CustomFunctionBlock, DENSE),
    (RenewingBlock, DENSE),
]


class Upscaler(nn.Module):
    """A network around two blocks, with values of the output on [0, 1]."""

    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, C, 3, padding=1)
        self.blocks = nn.Sequential(block(), nn.ReLU(inplace=True), block(), nn.PReLU(C))
        self.tail = nn.Conv2d(C, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.tanh(self.head(x))
        out = F.pixel_shuffle(self.tail(self.blocks(features)), 2)
        return 0.5 + 0.05 * out


@pytest.mark.parametrize(("block", "params"), BLOCKS, ids=lambda value: getattr(value, "__name__", ""))
def test_block_becomes_one_convolution(block, params) -> None:
    network = randomize(Upscaler(block))
    outcome = reparameterize(network, frames=[torch.rand(1, 3, 40, 56)])
    assert outcome.record.method == "automatic", outcome.record.notes
    around = sum(p.numel() for p in [*network.head.parameters(), *network.tail.parameters()]) + C
    assert outcome.record.params_after == around + 2 * params
    assert outcome.record.max_abs_error < 1e-5
    x = torch.rand(1, 3, 15, 22)
    torch.testing.assert_close(outcome.network(x), network(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("block", "params"), BLOCKS, ids=lambda value: getattr(value, "__name__", ""))
def test_kernel_is_exact_in_float64(block, params) -> None:
    """The collapsed block before its rounding to float32 repeats the training form to 1e-11, border included."""
    from harness.reparam.collapse import collapse

    torch.manual_seed(1)
    network = randomize(nn.Sequential(nn.ReLU(), block()))
    work = collapse(network, torch.rand(1, C, 12, 14))
    assert work.exact is not None
    x = torch.rand(1, C, 17, 9, dtype=torch.float64) - 0.3
    expected = copy.deepcopy(network).double()(x)
    torch.testing.assert_close(work.exact(x), expected, atol=1e-11, rtol=0)
