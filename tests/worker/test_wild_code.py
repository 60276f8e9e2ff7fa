"""What published code does, as small networks in ``tests/fixtures/wild``, all described by one manifest."""

import importlib.metadata
import re
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from harness.errors import CheckpointError, ContractError, SubmissionError, UnsupportedError
from harness.submissions.model_tables import read_manifests
from harness.worker.contract import check_network, find_size_multiple
from harness.worker.loader import Declared, Loaded, load
from harness.worker.network import moved
from harness.worker.obstacles import obstacle

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "wild"


class Callback:
    """What a training framework pickles beside the weights."""


def convolutions(**shapes: tuple[int, int, int]) -> dict[str, torch.Tensor]:
    """Return a state dict of convolutions: inputs, outputs and size of the kernel by name."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, (given, made, side) in shapes.items():
        key = name.replace("__", ".")
        state[f"{key}.weight"] = torch.randn(made, given, side, side, generator=generator) / 9
        state[f"{key}.bias"] = torch.randn(made, generator=generator) / 9
    return state


def checkpoints() -> dict[str, dict]:
    plain = convolutions(head=(3, 6, 3), body__0=(6, 6, 3), body__1=(6, 6, 3), tail=(6, 12, 3))
    settings = {key.replace("tail.", "tail.0."): value for key, value in plain.items()}
    ends = convolutions(head=(3, 8, 3), tail__0=(8, 12, 3))
    training = {**ends, **convolutions(block__wide=(8, 8, 3), block__point=(8, 8, 1))}
    merged = training["block.wide.weight"] + functional.pad(training["block.point.weight"], (1, 1, 1, 1))
    bias = training["block.wide.bias"] + training["block.point.bias"]
    inference = {**ends, "block.reparam.weight": merged, "block.reparam.bias": bias}
    divided = convolutions(head=(3, 16, 3), middle=(16, 6, 3), last__0=(6, 12, 3))
    return {
        "divided.pth": {**divided, **{f"scales.{number}": torch.ones(1, 1) for number in range(5)}},
        "plain.pth": plain,
        "coupled.pth": convolutions(first=(3, 6, 3), residual=(3, 3, 3), last=(9, 12, 3)),
        "settings.pth": settings,
        "inference.pth": {"params": inference},
        "both.pth": {"params": {**training, **inference}},
        "sequential.pth": convolutions(**{"0": (3, 12, 3)}),
    }


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wild") / "repository"
    shutil.copytree(FIXTURE, root)
    (root / "weights").mkdir(exist_ok=True)  # git keeps no empty folder
    for name, state in checkpoints().items():
        torch.save(state, root / "weights" / name)
    framework = types.ModuleType("pytorch_lightning")
    Callback.__module__, framework.Callback = "pytorch_lightning", Callback
    sys.modules["pytorch_lightning"] = framework
    state = {"state_dict": checkpoints()["sequential.pth"], "callbacks": {"checkpoint": Callback()}}
    torch.save(state, root / "weights" / "lightning.ckpt")
    del sys.modules["pytorch_lightning"]
    return root


def loaded(root: Path, name: str) -> Loaded:
    (found,) = [one.manifest for one in read_manifests(root) if one.name == name]
    return load(root, found.factory, 2, found.weights_for(2), declared=Declared.of(found))


def output(one: Loaded) -> torch.Tensor:
    image = torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return one.network(image)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("plain", ""),
        ("sizes from the checkpoint", "nf = 6, nb = 2, read off the checkpoint"),
        ("other sizes than the defaults", "nf = 6, nb = 2, read off the checkpoint"),
        ("sizes that hang together", "num_feat = 9, num_residual_feat = 3, n_unused_feat = "),
        ("settings from the manifest", ""),
        ("settings from the code", "args.n_feats = 6, args.n_resblocks = 2, read off the checkpoint"),
        ("tuple", "returns a tuple of 3: measured 1, the first of 2 images"),
        ("tuple, chosen", ""),
        ("dictionary", "returns a dict of 2: measured image, the only image"),
        ("pads inside", ""),
        ("luma", "takes Y only"),
        ("BGR", "takes and returns BGR"),
        ("half inside", "computes in half precision inside"),
        ("folder of its own", ""),
        ("registered", ""),
        ("generated version", ""),
        ("inference form, converted", "called switch_to_deploy before loading"),
        ("inference form, by a flag", "called with deploy = true"),
        ("both forms", "holds|left out the training form"),
        ("Lightning checkpoint", ""),
        ("scale in keywords and in forward", "its forward pass requires scale: called with the scale"),
        ("registries of other packages", ""),
        ("copied framework", ""),
        ("settings that are not read", "called with args = {}"),
        ("alternative to code that needs a package", "needy_arch:Network cannot be used: imports no_such_blocks"),
        ("sizes of other names", "nf = 16, unf = 6, read off the checkpoint"),
    ],
)
def test_it_upscales(wild: Path, name: str, note: str) -> None:
    one = loaded(wild, name)
    assert find_size_multiple(one.network, 2) == 1
    assert output(one).shape == (1, 3, 34, 46)
    assert any(part in " ".join(one.notes) for part in note.split("|"))
    if not note:
        assert one.notes == []


def test_all_models_of_the_manifest_are_tried(wild: Path) -> None:
    (mark,) = test_it_upscales.pytestmark
    assert [name for name, _ in mark.args[1]] == [one.name for one in read_manifests(wild)]


def test_sizes_are_those_with_which_the_weights_fit(wild: Path) -> None:
    given, *found = (
        output(loaded(wild, name)) for name in ("plain", "sizes from the checkpoint", "other sizes than the defaults")
    )
    assert all(torch.equal(one, given) for one in found)


def test_forms_of_one_network_give_the_image_of_its_training_form(wild: Path) -> None:
    state = checkpoints()["both.pth"]["params"]
    image = torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(2))

    def convolved(x: torch.Tensor, name: str) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[2] // 2)

    x = convolved(image, "head")
    x = convolved(x, "block.wide") + convolved(x, "block.point")
    expected = functional.pixel_shuffle(convolved(x, "tail.0"), 2)
    for name in ("inference form, converted", "inference form, by a flag", "both forms"):
        torch.testing.assert_close(output(loaded(wild, name)), expected)


def test_the_image_is_the_element_that_the_manifest_names(wild: Path) -> None:
    torch.testing.assert_close(output(loaded(wild, "tuple, chosen")) * 2, output(loaded(wild, "tuple")))


def test_channels_are_swapped_before_and_after(wild: Path) -> None:
    image = torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(2))
    expected = functional.interpolate(image, scale_factor=2.0, mode="bicubic")
    expected[:, 2] *= 2  # the network doubles its first channel, which is blue
    torch.testing.assert_close(output(loaded(wild, "BGR")), expected)


def test_a_network_of_luma_gets_chroma_by_bicubic_interpolation(wild: Path) -> None:
    from skimage.color import rgb2ycbcr, ycbcr2rgb

    one = loaded(wild, "luma")
    torch.nn.init.ones_(one.network.conv.weight)  # repeats pixels of Y
    image = torch.rand(1, 3, 17, 23, generator=torch.Generator().manual_seed(2))
    ycbcr = torch.from_numpy(rgb2ycbcr(image[0].permute(1, 2, 0).double().numpy())).permute(2, 0, 1)[None]
    luma = ycbcr[:, :1].repeat_interleave(2, 2).repeat_interleave(2, 3)
    chroma = functional.interpolate(ycbcr[:, 1:], scale_factor=2.0, mode="bicubic")
    expected = ycbcr2rgb(torch.cat([luma, chroma], 1)[0].permute(1, 2, 0).numpy())
    # skimage inverts its matrix in float64; both round the published coefficients alike.
    torch.testing.assert_close(output(one)[0].permute(1, 2, 0).double(), torch.from_numpy(expected), atol=2e-6, rtol=0)


def test_half_precision_is_kept_whatever_the_run_asks_for(wild: Path) -> None:
    network = loaded(wild, "half inside").network.float().to("cpu", torch.float32)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float16}
    with torch.no_grad():
        assert network(torch.rand(1, 3, 8, 8)).dtype == torch.float32


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        ("models.devices:Asserts", UnsupportedError, r"needs CUDA: __init__ raised AssertionError: assert .*cuda"),
        ("models.devices:Complains", UnsupportedError, r"needs CUDA: .*only supported on CUDA"),
        ("models.devices:ImportsInside", UnsupportedError, r"mamba_ssm, which is not installed.*pip install mamba-ssm"),
        ("models.devices:ImportsItsOwn", SubmissionError, r"blocks, which its own code/blocks.py .*folder = .code."),
        ("forked.archs.needy_arch:Network", UnsupportedError, r"needy_arch.py:\d+: imports no_such_blocks, which is"),
        ("models.needs_more:Network", UnsupportedError, r"imports no_framework_has_this_name, which is neither"),
        ("models.settings:Network", SubmissionError, r"kwargs = { args = {.* scale = \[.scale.\],.*n_feats = \?"),
        ("models.plain:WithoutNames", SubmissionError, r"first, second.*kwargs = { upscale = .scale., first = \?"),
        ("models.plain:Missing", SubmissionError, "has no Missing"),
    ],
)
def test_it_cannot_be_built_for_a_reason_that_is_said(
    wild: Path, factory: str, error: type[SubmissionError], message: str
) -> None:
    with pytest.raises(error, match=f"(?is){message}") as raised:
        load(wild, factory, 2, None, declared=Declared(True))
    assert isinstance(raised.value, UnsupportedError) == (error is UnsupportedError)


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        ("models.devices:Operator", UnsupportedError, "the operator wild_fixture::scan has no implementation"),
        ("models.devices:ImportsInForward", UnsupportedError, "no_package_has_this_name.*ask the authors"),
        ("models.outputs:OneLarger", ContractError, "1 pixel too large: crop what padding"),
        ("models.outputs:Transposed", ContractError, "1 pixel too small: .*output_padding"),
    ],
)
def test_it_cannot_be_used_for_a_reason_that_is_said(
    wild: Path, factory: str, error: type[SubmissionError], message: str
) -> None:
    network = load(wild, factory, 2, None, declared=Declared(True)).network
    with pytest.raises(error, match=f"(?is){message}"):
        find_size_multiple(network, 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cv2.dnn", "^imports cv2.dnn, which is not installed. pip install opencv-python-headless, or list it"),
        ("mamba_ssm", "^imports mamba_ssm, .* pip install mamba-ssm; --install cannot, because there is no wheel"),
        ("torchvision", "^imports torchvision, .* Install torchvision from where torch came from; --install leaves it"),
        ("distutils.core", "^imports distutils.core, which Python has no longer since 3.12"),
        ("some_network.blocks", "^imports some_network.blocks, which is neither in .* a stranger's"),
        ("parts.blocks", "^imports parts.blocks, which its own parts should have. Add the missing file"),
        ("torch.gone", "^imports torch.gone, which torch [0-9.+cpu]* does not have"),
    ],
)
def test_a_missing_module_is_said_to_be_what_it_is(
    tmp_path: Path, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = importlib.metadata.packages_distributions()
    installed.pop("cv2", None)  # the extra `benchmark` installs it
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: installed)
    (tmp_path / "parts").mkdir()
    error = obstacle(ModuleNotFoundError(f"No module named {name!r}", name=name), tmp_path)
    assert re.search(message, str(error)), str(error)


def test_operators_of_another_build_of_torch_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.worker.obstacles._version", lambda package: f"0.28 of {package}")
    error = obstacle(RuntimeError("operator torchvision::nms does not exist"))
    assert isinstance(error, UnsupportedError)
    assert str(error).startswith(
        f"imports torchvision 0.28 of torchvision, which does not fit torch {torch.__version__}"
    )


@pytest.mark.parametrize(("name", "use"), [("depth", "depth"), ("mode", "(2 if mode == 'bright' else 1)")])
def test_a_checkpoint_that_fits_several_sizes_is_not_guessed(wild: Path, name: str, use: str) -> None:
    (wild / "models" / "ambiguous.py").write_text(
        "from models.plain import Plain\n\n"
        "class Network(Plain):\n"
        f"    def __init__(self, nf, nb, {name}, upscale=2):\n"
        "        super().__init__(3, 3, nf, nb, upscale)\n"
        f"        self.factor = {use}\n\n"
        "    def forward(self, x):\n"
        "        return super().forward(x) * self.factor\n"
    )
    with pytest.raises(SubmissionError, match=f"do not tell {name} of models.ambiguous:Network"):
        load(wild, "models.ambiguous:Network", 2, Path("weights/plain.pth"), declared=Declared(True))


def test_keywords_that_a_class_looks_up_are_named_if_the_weights_do_not_fit(wild: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not fit .*kwargs = { scale = .scale., width = \? }"):
        load(wild, "models.scales:Several", 2, Path("weights/sequential.pth"), declared=Declared(True))


def test_weights_of_neither_form_are_refused(wild: Path) -> None:
    strange = {**checkpoints()["both.pth"]["params"], "elsewhere.weight": torch.ones(1)}
    torch.save(strange, wild / "weights" / "strange.pth")
    with pytest.raises(CheckpointError, match="unexpected"):
        load(wild, "models.reparameterized:Converted", 2, Path("weights/strange.pth"), declared=Declared(True))


def test_the_check_names_the_colour_space_that_a_network_is_made_for(wild: Path) -> None:
    network = load(wild, "models.outputs:LumaFirst", 2, None, declared=Declared(True)).network
    (said,) = [one for one in check_network(network, 2) if "dB on a test photograph" in one.what]
    assert (said.level, said.hint) == ("warn", 'set colour = "ycbcr"')
    assert "images in YCbCr it reaches" in said.what


def test_a_network_that_overrides_to_with_fewer_arguments_is_moved() -> None:
    class Mover(torch.nn.Conv2d):
        def to(self, device):
            return self

    assert moved(Mover(3, 3, 1), "cpu", torch.float16).weight.dtype == torch.float16
