import pytest
import torch
from torch import nn
from torch.nn import functional

from harness.errors import ContractError, UsageError
from harness.submissions.discovery import discover
from harness.submissions.skeleton import create
from harness.worker.contract import check_network, find_size_multiple
from harness.worker.loader import load_network


class Upscaler(nn.Module):
    """Bicubic, with one behaviour replaced."""

    def __init__(self, change=None, before=None, scale=2):
        super().__init__()
        self.change, self.before, self.scale = change, before, scale

    def forward(self, x):
        if self.before:
            x = self.before(x)
        y = functional.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return self.change(y) if self.change else y


def levels(network, **options):
    findings = check_network(network, 2, **options)
    return {finding.level for finding in findings}, " | ".join(f"{f.level}: {f.what}. {f.hint}" for f in findings)


def test_an_honest_network_has_nothing_to_mend():
    seen, text = levels(Upscaler())
    assert seen == {"ok"}, text
    assert "takes odd sizes" in text


def unshuffled(factor):
    return lambda x: functional.pixel_shuffle(functional.pixel_unshuffle(x, factor), factor)


@pytest.mark.parametrize("multiple", [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 28, 32, 45, 48, 56, 64, 80, 112])
def test_the_size_multiple_is_found(multiple):
    assert find_size_multiple(Upscaler(before=unshuffled(multiple)), 2) == multiple


@pytest.mark.parametrize("least", [42, 50, 64])
@pytest.mark.parametrize("multiple", [1, 4, 7, 12])
def test_a_network_that_needs_large_images_needs_no_larger_multiple(multiple, least):
    """Of 50 pixels, the smallest odd multiple of 13 is 65: not 13 is needed, but more than 41 pixels."""

    def restricted(x):
        if min(x.shape[2:]) < least:
            raise RuntimeError("too small")
        return unshuffled(multiple)(x)

    assert find_size_multiple(Upscaler(before=restricted), 2) == multiple


@pytest.mark.parametrize("multiple", [84, 96, 100, 120, 128])
def test_combinations_of_windows_and_strides_are_found(multiple):
    assert find_size_multiple(Upscaler(before=unshuffled(multiple)), 2) == multiple


def test_a_network_for_square_images_takes_no_multiple():
    def square(x):
        if x.shape[2] != x.shape[3]:
            raise RuntimeError("not square")
        return x

    with pytest.raises(ContractError, match="no other input size that was tried"):
        find_size_multiple(Upscaler(before=square), 2)


@pytest.mark.parametrize(("multiple", "declared", "found"), [(7, 7, 7), (7, 14, 14), (4, 6, 12), (100, 100, 100)])
def test_the_declared_multiple_comes_first(multiple, declared, found):
    assert find_size_multiple(Upscaler(before=unshuffled(multiple)), 2, declared=declared) == found


@pytest.mark.parametrize("side", [2, 3])
def test_a_restriction_of_one_side_is_found(side):
    def restricted(x):
        assert x.shape[side] % 9 == 0
        return x

    assert find_size_multiple(Upscaler(before=restricted), 2) == 9


def test_a_stride_that_gives_a_larger_image_counts_as_failure():
    def strided(x):
        return functional.interpolate(x[..., ::2, ::2], scale_factor=2)

    assert find_size_multiple(Upscaler(before=strided), 2) == 2


def test_no_size_works():
    with pytest.raises(ContractError, match="upscales by 3, not by 2"):
        find_size_multiple(Upscaler(scale=3), 2)


def noisy(y):
    return y + torch.randn(y.shape) * 1e-3


def in_place(x):
    return x.add_(0.001)


def tracked(y):
    with torch.enable_grad():
        return y * nn.Parameter(torch.ones(1))


def spoiled(value):
    def change(y):
        y = y.clone()
        y[0, 0, 0, 0] = value
        return y

    return change


@pytest.mark.parametrize(
    ("network", "level", "said"),
    [
        (Upscaler(scale=3), "error", "upscales by 3, not by 2"),
        (Upscaler(change=lambda y: y[:, :1]), "error", "3 channels"),
        (Upscaler(change=lambda y: y[..., 2:-2]), "error", "without border"),
        (Upscaler(change=lambda y: [y]), "error", "returns a list"),
        (Upscaler(change=lambda y: (y * 255).byte()), "error", "returns torch.uint8"),
        (Upscaler(change=lambda y: y[0]), "error", "one image"),
        (Upscaler(change=spoiled(float("nan"))), "error", "1 of 110592 output values are NaN"),
        (Upscaler(change=spoiled(float("inf"))), "error", "NaN or infinite"),
        (Upscaler(before=in_place), "error", "changes its input"),
        (Upscaler(before=lambda x: 1 / 0), "error", "ZeroDivisionError"),
        (Upscaler(before=lambda x: exit()), "error", "SystemExit"),
        (Upscaler(change=noisy), "warn", "differ by up to"),
        (Upscaler(change=tracked), "warn", "tracks gradients"),
        (Upscaler(change=lambda y: y.half()), "warn", "torch.float16"),
        (Upscaler(change=lambda y: y * 30), "warn", "of the value range"),
        (Upscaler(before=unshuffled(4)), "warn", "set size_multiple = 4"),
        (Upscaler(change=lambda y: y.flip(3)), "warn", "far below"),
        (Upscaler(change=lambda y: y.transpose(2, 3).contiguous().transpose(2, 3)), "ok", "not contiguous"),
    ],
)
def test_each_breach_is_named_with_its_mend(network, level, said):
    seen, text = levels(network)
    assert said in text
    worst = "error" if "error" in seen else "warn" if "warn" in seen else "ok"
    assert worst == level


def test_declared_size_multiple_is_accepted():
    assert levels(Upscaler(before=unshuffled(4)), size_multiple=4)[0] == {"ok"}


def for_255(y):
    """Add a brightness that vanishes at the range the network was made for, as a trained bias does."""
    return y + torch.where(y.amax() > 8, 0.0, 0.1)


def test_a_wrong_value_range_is_found():
    _, text = levels(Upscaler(change=for_255))
    assert "set value_range = 255.0" in text
    assert levels(Upscaler(change=for_255), value_range=255.0)[0] == {"ok"}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_new_submission_passes_and_is_bicubic_at_once(tmp_path, scale):
    folder = create("My net", tmp_path)
    (submission,) = discover([folder], entry_points=False)
    network = load_network(submission.root, submission.manifest.factory, scale, None)
    findings = check_network(network, scale)
    assert {finding.level for finding in findings} == {"ok"}
    frame = torch.rand(1, 3, 8, 9)
    bicubic = functional.interpolate(frame, scale_factor=scale, mode="bicubic", align_corners=False)
    assert torch.equal(network(frame), bicubic)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "tab\t", "end.", "caf\u00e9"])
def test_names_that_no_folder_should_have(tmp_path, name):
    with pytest.raises(UsageError, match="cannot name a submission"):
        create(name, tmp_path)


def test_nothing_is_overwritten(tmp_path):
    create("a", tmp_path)
    (tmp_path / "a" / "arch.py").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        create("a", tmp_path)
    assert (tmp_path / "a" / "arch.py").read_text() == "mine"
