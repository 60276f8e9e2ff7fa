"""Compare parameters and operations of each network with the published counts, exactly."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from harness.complexity.count import count

Build = Callable[[str, int], nn.Module]
Convert = Callable[[nn.Module], nn.Module]

COUNTS = [
    # model, scale, training form, inference form; slopes of PReLU apart
    ("LRSRN", 2, 333_196, 41_356),
    ("LRSRN", 3, 426_166, 45_691),
    ("RT4KSR", 2, 152_233, 44_521),
    ("RT4KSR", 3, 165_253, 57_541),
    ("RTSRN", 2, 193_356, 193_356),
    ("RTSRN", 3, 202_011, 202_011),
    ("IMDN", 2, 873_164, 873_164),
    ("IMDN", 3, 881_819, 881_819),
    # training form: 3x3 or 5x5 to 256 channels and 1x1 back, with biases: 76 x 256, five times 145 x 256, 401 x 256...
    ("SESR", 2, 335_468, 17_628),
    ("SESR", 3, 339_323, 23_643),
    ("FSRCNN", 2, 24_511, 24_511),
    ("FSRCNN", 3, 24_511, 24_511),
    ("SCSRN", 2, 42_988, 42_988),
    ("SCSRN", 3, 53_008, 53_008),
    ("BicubicPP", 2, 33_120, 33_120),
    ("BicubicPP", 3, 50_400, 50_400),
    ("RTVSR", 2, 26_608, 26_608),
    ("RTVSR", 3, 53_196, 53_196),
    ("CRC", 2, 828, 828),
    ("ALONG", 2, 66_764, 66_764),
    ("TeamOV", 2, 4_212, 4_212),
]


def _parameters(network: nn.Module) -> int:
    slopes = sum(module.weight.numel() for module in network.modules() if isinstance(module, nn.PReLU))
    return sum(parameter.numel() for parameter in network.parameters()) - slopes


@pytest.mark.parametrize(("name", "scale", "training", "inference"), COUNTS)
def test_parameters(build: Build, to_inference: Convert, name: str, scale: int, training: int, inference: int) -> None:
    network = build(name, scale)
    assert _parameters(network) == training
    assert _parameters(to_inference(network)) == inference


def test_prelu_adds_its_slopes_in_sesr_alone(build: Build) -> None:
    slopes = {
        name: sum(p.numel() for p in build(name, 2).parameters()) - _parameters(build(name, 2))
        for name in sorted({name for name, *_ in COUNTS if name != "BicubicPP"})
    }
    assert {name: number for name, number in slopes.items() if number} == {"SESR": 5 * 16}


@pytest.mark.parametrize(
    ("name", "scale", "gigas"),
    [
        # the "FLOPs (G)" of the 2023 report, Table 1: convolution MACs plus one per output of a ReLU-family module
        ("LRSRN", 2, 85.7309),
        ("CRC", 2, 1.6921),
        ("RTVSR", 2, 13.7687),
        ("ALONG", 2, 15.3281),
        ("TeamOV", 2, 8.7340),
        # the same counter applied to other public networks
        ("LRSRN", 3, 42.0839),
        ("RTVSR", 3, 12.2315),
        ("BicubicPP", 3, 11.6343),
        ("RT4KSR", 2, 24.1865),
        ("RT4KSR", 3, 13.7355),
        ("RTSRN", 2, 400.6527),
        ("RTSRN", 3, 186.0305),
    ],
)
def test_published_operations(build: Build, to_inference: Convert, name: str, scale: int, gigas: float) -> None:
    network = to_inference(build(name, scale))
    multiple = {"ALONG": 3, "RT4KSR": 2, "RTVSR": 2, "BicubicPP": 2}.get(name, 1)
    shape = (1, 3, 1080, 1920) if scale == 2 else (1, 3, 720, 1280)
    macs = count(network, shape, size_multiple=multiple).macs_ntire23
    assert macs is not None
    assert round(macs / 1e9, 4) == gigas


@pytest.mark.parametrize("name", sorted({name for name, *_ in COUNTS}))
def test_an_unsupported_scale_is_refused_by_name(build: Build, name: str) -> None:
    with pytest.raises(ValueError, match="x5"):
        build(name, 5)


@pytest.mark.parametrize(("name", "scale"), [(name, scale) for name, scale, *_ in COUNTS] + [("TeamOV", 3)])
def test_output_size(build: Build, name: str, scale: int) -> None:
    with torch.inference_mode():
        assert build(name, scale)(torch.rand(1, 3, 18, 30)).shape == (1, 3, scale * 18, scale * 30)
