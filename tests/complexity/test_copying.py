"""A copy of a network can be changed without a change of the network."""

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.complexity.copying import copied
from harness.complexity.count import count
from harness.complexity.traffic import count_traffic
from harness.reparam import reparameterize


class Upscaler(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.tail(self.head(x)), 2)


class ReturnsItself(Upscaler):
    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        return self


class ReturnsTheOnlyOne(Upscaler):
    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return (lambda: self), ()


class AnswersAnything(Upscaler):
    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return lambda *_, **__: self


class HasAPartThatReturnsItself(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = ReturnsItself()

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x)


class KeepsItsWeights(Upscaler):
    """Its copy is a new object with the parameters of the original."""

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        made = KeepsItsWeights()
        made.head, made.tail = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 12, 1)
        made.head.weight = self.head.weight
        return made.eval()


class KeepsItsMemory(KeepsItsWeights):
    """Its copy has parameters of its own, whose values are those of the original in memory."""

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        made = KeepsItsMemory()
        made.head.weight = nn.Parameter(self.head.weight.detach())
        return made.eval()


class Named(nn.Parameter):
    """Parameter whose class cannot be called as torch does to copy it."""

    def __new__(cls, data: Tensor, requires_grad: bool = True, *, label: str) -> "Named":
        made = super().__new__(cls, data, requires_grad)
        made.label = label
        return made


class HasNamedGain(Upscaler):
    def __init__(self) -> None:
        super().__init__()
        self.gain = Named(torch.full((1, 3, 1, 1), 0.5), label="gain")

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.gain)


class HasSparseWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(12, 3).to_sparse_csr())

    def forward(self, x: Tensor) -> Tensor:
        product = self.weight @ x.flatten(2)[0]
        return F.pixel_shuffle(product.view(1, 12, *x.shape[2:]), 2)


NOT_COPYABLE = [
    ReturnsItself,
    ReturnsTheOnlyOne,
    AnswersAnything,
    HasAPartThatReturnsItself,
    KeepsItsWeights,
    KeepsItsMemory,
]
HARD_TO_COPY = [HasNamedGain, HasSparseWeight]


@pytest.mark.parametrize("kind", NOT_COPYABLE)
def test_what_is_still_the_original_is_no_copy(kind: type[nn.Module]) -> None:
    with pytest.raises(Exception, match=r"shares (modules|tensors|memory)"):
        copied(kind())


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("kind", [*NOT_COPYABLE, *HARD_TO_COPY])
def test_no_stage_changes_a_network_that_is_hard_to_copy(kind: type[nn.Module]) -> None:
    network = kind().eval()
    image = torch.rand(1, 3, 24, 30)
    with torch.no_grad():
        before = network(image).clone()
        outcome = reparameterize(network)
        counted = count(network, (1, 3, 48, 60))
        count_traffic(network, (1, 3, 48, 60))
        assert torch.equal(network(image), before)
    assert outcome.network is network
    assert counted.macs


def test_a_network_that_returns_itself_is_reported_as_not_copyable() -> None:
    outcome = reparameterize(ReturnsItself().eval())
    assert any("cannot be copied (Error: its copy shares modules" in note for note in outcome.record.notes)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("kind", HARD_TO_COPY)
def test_a_parameter_that_torch_cannot_copy_is_cloned(kind: type[nn.Module]) -> None:
    network = kind()
    made = copied(network)
    for old, new in zip(network.parameters(), made.parameters(), strict=True):
        assert old is not new
        assert (type(old), old.layout, vars(old)) == (type(new), new.layout, vars(new))
        assert torch.equal(old.to_dense(), new.to_dense())
    before = network(torch.ones(1, 3, 8, 8))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.data.mul_(0)
    assert torch.equal(network(torch.ones(1, 3, 8, 8)), before)


def test_what_is_no_tensor_is_shared() -> None:
    network = Upscaler()
    network.lock = threading.Lock()
    made = copied(network)
    assert made.lock is network.lock
    assert made.head.weight is not network.head.weight
