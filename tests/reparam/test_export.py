"""The written submission depends on torch only, has the same output and parameters, and loads without the harness."""

import subprocess
import sys
import tomllib

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from harness.errors import UnsupportedError, UsageError
from harness.reparam import reparameterize
from harness.reparam.export import write_submission


class Training(nn.Module):
    """Network with each kind of node that a trace may contain."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 1))
        self.act = nn.LeakyReLU(0.1, inplace=True)
        self.slopes = nn.PReLU(8)
        self.gamma = nn.Parameter(torch.full((8, 1, 1), 0.9))
        self.register_buffer("mean", torch.rand(1, 3, 1, 1))
        self.strange = nn.Conv2d(8, 8, (3, 1), padding=(1, 0), padding_mode="reflect", bias=False)
        self.tail = nn.Conv2d(8, 12, 3, padding=1, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        features = self.act(self.head(x - self.mean))
        body = self.slopes(self.strange(features)) * self.gamma
        body += features
        first, second = body.chunk(2, dim=1)
        body = torch.cat([second, F.gelu(first)], dim=1)[:, :, :, 0:]
        height, width = x.shape[-2:]
        skip = F.interpolate(x, size=(height * 2, width * 2), mode="bilinear", align_corners=False)
        return F.pixel_shuffle(self.tail(body), 2) + skip


READER = """
import sys, torch
from safetensors.torch import load_file
sys.path.insert(0, sys.argv[1])
import arch
assert not [name for name in sys.modules if name.split(".")[0] == "harness"]
network = arch.srmodel().eval()
network.load_state_dict(load_file(sys.argv[1] + "/weights/x2.safetensors"))
torch.set_num_threads(1)
torch.save(network(torch.load(sys.argv[2])), sys.argv[3])
print(sum(p.numel() for p in network.parameters()))
"""


def test_written_submission_gives_the_same_image_without_the_project(tmp_path) -> None:
    torch.manual_seed(0)
    outcome = reparameterize(Training().eval(), frames=[torch.rand(1, 3, 40, 60)])
    assert outcome.record.method == "automatic"
    out = write_submission(outcome.network, 2, tmp_path / "out", name='A "quoted" name')
    x = torch.rand(1, 3, 13, 18)
    torch.save(x, tmp_path / "in.pt")
    command = [sys.executable, "-c", READER, str(out), str(tmp_path / "in.pt"), str(tmp_path / "result.pt")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert int(printed.stdout) == outcome.record.params_after
    torch.testing.assert_close(torch.load(tmp_path / "result.pt"), outcome.network(x), atol=1e-6, rtol=0)


def test_manifest_and_source(tmp_path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.PixelShuffle(2)).eval()
    out = write_submission(network, 2, tmp_path / "out", name='A "quoted" name', value_range=255.0, size_multiple=2)
    manifest = tomllib.loads((out / "submission.toml").read_text())
    assert manifest["submission"] == {
        "name": 'A "quoted" name',
        "scales": [2],
        "factory": "arch:srmodel",
        "value_range": 255.0,
        "size_multiple": 2,
        "reparameterize": "none",
    }
    assert manifest["weights"] == {"x2": "weights/x2.safetensors"}
    text = (out / "arch.py").read_text()
    assert "self.layer_0 = nn.Conv2d(3, 12, 3, padding=1)" in text
    assert "x = self.layer_0(x)" in text
    assert set(load_file(out / "weights" / "x2.safetensors")) == {"layer_0.weight", "layer_0.bias"}
    tensors = load_file(out / "weights" / "x2.safetensors")
    torch.testing.assert_close(tensors["layer_0.weight"], network[0].weight, atol=0, rtol=0)


def test_a_folder_in_use_is_left_alone(tmp_path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(UsageError, match="not empty"):
        write_submission(nn.Identity(), 1, tmp_path)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0.5 else -x


def hooked() -> nn.Sequential:
    network = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))
    network[0].register_forward_hook(lambda _module, _inputs, output: 2 * output)
    return network


@pytest.mark.parametrize("network", [Branching(), nn.Sequential(Branching()), hooked()])
def test_what_cannot_be_written_is_refused(network, tmp_path) -> None:
    with pytest.raises(UnsupportedError, match=r"be written as"):
        write_submission(network.eval(), 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
