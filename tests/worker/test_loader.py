import importlib
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from harness.backends.runner import make_runner
from harness.errors import CheckpointError, SubmissionError, UnsupportedError
from harness.worker.importing import unload
from harness.worker.loader import load, load_network

NET = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.conv = nn.Conv2d(3, 3 * scale ** 2, 3, padding=1)
        self.up = nn.PixelShuffle(scale)

    def forward(self, x):
        return self.up(self.conv(x))
"""


def folder(tmp_path: Path, arch: str, name: str = "model", **files: str) -> Path:
    root = tmp_path / name
    root.mkdir(exist_ok=True)
    (root / "arch.py").write_text(NET + arch)
    for file, text in files.items():
        path = root / file.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".py").write_text(text)
    return root


@pytest.mark.parametrize(
    "signature",
    [
        "scale",
        "scale=2",
        "scale, /",
        "*, scale",
        "upscale=4",
        "upscale_factor=4",
        "sr_rate=4",
        "scale_factor=4",
        "s",
        "channels=3, scale=2",
    ],
)
def test_the_factory_gets_the_scale_by_its_signature(tmp_path, signature):
    parameter = [part for part in signature.replace(" ", "").split(",") if part not in ("*", "/")][-1].split("=")[0]
    root = folder(tmp_path, f"def srmodel({signature}):\n    return Net({parameter})\n")
    network = load_network(root, "arch:srmodel", 3, None)
    assert network(torch.zeros(1, 3, 4, 5)).shape == (1, 3, 12, 15)


def test_a_factory_without_arguments_and_a_class_as_factory(tmp_path):
    root = folder(tmp_path, "def srmodel():\n    return Net(2)\n")
    assert load_network(root, "arch:srmodel", 2, None)(torch.zeros(1, 3, 4, 4)).shape[-1] == 8
    assert load_network(root, "arch:Net", 4, None)(torch.zeros(1, 3, 4, 4)).shape[-1] == 16


def test_the_network_is_ready_to_measure(tmp_path):
    root = folder(tmp_path, "def srmodel():\n    return Net(2).half().train()\n")
    loaded = load(root, "arch:srmodel", 2, None)
    parameters = list(loaded.network.parameters())
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in parameters)
    assert not any(module.training for module in loaded.network.modules())
    assert any("float16" in note for note in loaded.notes)


@pytest.mark.parametrize(
    "statement",
    ["from utils.size import SCALE", "from .utils.size import SCALE", "from utils import size; SCALE = size.SCALE"],
)
def test_siblings_import_as_under_the_challenge(tmp_path, statement):
    for scale in (2, 3):
        arch = f"{statement}\ndef srmodel():\n    return Net(SCALE)\n"
        root = folder(tmp_path, arch, name=f"model{scale}", utils____init__="", utils__size=f"SCALE = {scale}\n")
        assert load_network(root, "arch:srmodel", scale, None)(torch.zeros(1, 3, 4, 4)).shape[-1] == 4 * scale
        assert not list(root.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("arch", "factory", "error", "said"),
    [
        ("def srmodel(:\n", "arch:srmodel", SubmissionError, r"arch\.py:\d+: syntax error"),
        ("1 / 0\n", "arch:srmodel", SubmissionError, r"arch\.py:12: importing it raised ZeroDivisionError"),
        (
            "import no_such_package.sub\n",
            "arch:srmodel",
            UnsupportedError,
            r"imports no_such_package, which is neither in its folder nor installed.*Ask the authors",
        ),
        ("import sys; sys.exit(3)\n", "arch:srmodel", SubmissionError, "ends the program"),
        ("", "arch:srmodel", SubmissionError, "arch has no srmodel.*the module defines"),
        ("", "network:srmodel", SubmissionError, "there is no network.py"),
        ("def srmodel(a, b):\n    return 1\n", "arch:srmodel", SubmissionError, "needs the arguments a, b"),
        ("srmodel = 3\n", "arch:srmodel", SubmissionError, "not a function"),
        ("def srmodel():\n    return 3\n", "arch:srmodel", SubmissionError, "returned a int"),
        ("def srmodel():\n    raise KeyError('x')\n", "arch:srmodel", SubmissionError, r"arch\.py:13: .*KeyError"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, arch, factory, error, said):
    with pytest.raises(error, match=said):
        load_network(folder(tmp_path, arch), factory, 2, None)


def saved(root: Path, change) -> Path:
    network = load_network(root, "arch:srmodel", 2, None)
    state = {key: torch.full_like(value, 0.5) for key, value in network.state_dict().items()}
    change(state)
    save_file(state, root / "x2.safetensors")
    return Path("x2.safetensors")


def test_weights_are_filled_in(tmp_path):
    root = folder(tmp_path, "def srmodel():\n    return Net(2)\n")
    network = load_network(root, "arch:srmodel", 2, saved(root, lambda state: None))
    assert float(network.conv.weight.mean()) == 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("conv.bias"), r"1 missing: conv\.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unexpected: extra"),
        (lambda s: s.update({"conv.bias": torch.zeros(5)}), r"1 of another shape: conv\.bias \(5 for 12\)"),
    ],
)
def test_weights_that_do_not_fit_are_listed(tmp_path, change, said):
    root = folder(tmp_path, "def srmodel():\n    return Net(2)\n")
    with pytest.raises(CheckpointError, match=said):
        load_network(root, "arch:srmodel", 2, saved(root, change))


def test_strict_is_not_switched_off_by_the_submission(tmp_path):
    hiding = """
class Hiding(Net):
    def load_state_dict(self, state, strict=True):
        return super().load_state_dict(state, strict=False)

def srmodel():
    return Hiding(2)
"""
    root = folder(tmp_path, hiding)
    with pytest.raises(CheckpointError, match=r"1 missing: conv\.bias"):
        load_network(root, "arch:srmodel", 2, saved(root, lambda s: s.pop("conv.bias")))


def test_load_state_dict_that_reparameterizes_and_returns_none(tmp_path):
    folding = """
class Folding(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 12, 1), nn.Conv2d(3, 12, 1)

    def load_state_dict(self, state, strict=True):
        super().load_state_dict(state, strict)
        self.deploy = nn.Conv2d(3, 12, 1)
        self.deploy.weight.data = self.a.weight + self.b.weight
        self.deploy.bias.data = self.a.bias + self.b.bias
        del self.a, self.b

    def forward(self, x):
        y = self.deploy(x) if hasattr(self, "deploy") else self.a(x) + self.b(x)
        return nn.functional.pixel_shuffle(y, 2)

def srmodel():
    return Folding()
"""
    root = folder(tmp_path, folding)
    network = load_network(root, "arch:srmodel", 2, saved(root, lambda s: None))
    assert set(network.state_dict()) == {"deploy.weight", "deploy.bias"}
    assert float(network.deploy.weight.mean()) == 1.0


def test_process_settings_survive(tmp_path):
    rude = """
import os
torch.set_default_dtype(torch.float64)
os.chdir("/")
torch.set_num_threads(1)

def srmodel():
    return Net(2)
"""
    threads, home = torch.get_num_threads(), Path.cwd()
    loaded = load(folder(tmp_path, rude), "arch:srmodel", 2, None)
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == threads
    assert Path.cwd() == home
    assert next(loaded.network.parameters()).dtype == torch.float32
    assert any("default dtype" in note for note in loaded.notes)


def test_a_setting_that_the_first_call_changes_back_was_changed(tmp_path):
    threads = torch.get_num_threads()
    rude = f"""
torch.set_num_threads({threads + 3})

class Rude(Net):
    def forward(self, x):
        torch.set_num_threads({threads})
        return super().forward(x)

def srmodel():
    return Rude(2)
"""
    loaded = load(folder(tmp_path, rude), "arch:srmodel", 2, None)
    assert torch.get_num_threads() == threads
    assert "the code changed the number of threads while loading; restored" in loaded.notes


OWN_FOLDER = "os.path.dirname(os.path.abspath(__file__))"


@pytest.fixture
def interpreter(monkeypatch, tmp_path):
    """Give this process its modules and its search path back, without those of the submission of an earlier test."""
    unload(tmp_path)
    monkeypatch.setattr("sys.path", sys.path.copy())
    monkeypatch.setattr("sys.meta_path", sys.meta_path.copy())
    monkeypatch.setattr("sys.path_hooks", sys.path_hooks.copy())
    before, home = dict(sys.modules), Path.cwd()
    yield
    os.chdir(home)
    sys.modules.update(before)


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("sys.path.clear()", "sys.path"),
        (f"sys.path = [{OWN_FOLDER}]", "sys.path"),
        ("sys.path = tuple(sys.path)", "sys.path"),
        ("sys.path = None", "sys.path"),
        ("sys.meta_path.clear()", "sys.meta_path"),
        ("sys.path_hooks.clear(); sys.path_importer_cache.clear()", "sys.path_hooks"),
        ("[sys.modules.pop(name) for name in list(sys.modules) if name.startswith('harness.')]", "sys.modules"),
        ("sys.modules['torch.nn.functional'] = None", "sys.modules"),
    ],
)
def test_what_imports_need_is_restored(tmp_path, interpreter, statement, changed):
    path, module = sys.path.copy(), sys.modules["harness.worker.loader"]
    loaded = load(folder(tmp_path, f"import os, sys\n{statement}\ndef srmodel(): return Net(2)\n"), "arch:Net", 2, None)
    assert f"the code changed {changed} while loading; restored" in loaded.notes
    assert set(path) <= set(sys.path)
    assert sys.modules["harness.worker.loader"] is module
    assert make_runner(loaded.network, "eager")(torch.zeros(1, 3, 4, 4)).shape[-1] == 8
    assert importlib.import_module("torch.nn.functional") is functional


def test_a_folder_that_the_code_adds_is_searched_later(tmp_path, interpreter):
    lazy = f"""
import os, sys
sys.path = [os.path.join({OWN_FOLDER}, "later")]

class Lazy(Net):
    def forward(self, x):
        import imported_in_the_first_call
        return super().forward(x)

def srmodel():
    return Lazy(2)
"""
    root = folder(tmp_path, lazy, later__imported_in_the_first_call="")
    network = load(root, "arch:srmodel", 2, None).network
    assert network(torch.zeros(1, 3, 4, 4)).shape[-1] == 8
    assert sys.path[0] == str(root / "later")


def test_a_working_folder_that_the_code_removes(tmp_path, interpreter, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    rude = f"import os\nos.rmdir({str(gone)!r})\ndef srmodel(): return Net(2)\n"
    assert load(folder(tmp_path, rude), "arch:srmodel", 2, None).network(torch.zeros(1, 3, 4, 4)).shape[-1] == 8


@pytest.mark.skipif(torch.cuda.is_available(), reason="concerns machines without a GPU")
def test_code_that_takes_a_gpu_for_granted_loads_without_one(tmp_path):
    arch = """
def srmodel():
    net = Net(2).cuda().to("cuda:0").to(torch.device("cuda"), non_blocking=True)
    return net.to(device="cuda", dtype=torch.float32)
"""
    loaded = load(folder(tmp_path, arch), "arch:srmodel", 2, None)
    assert next(loaded.network.parameters()).device.type == "cpu"
    assert "requests CUDA while loading; kept on the CPU" in loaded.notes


def test_modules_that_stay_in_training_mode_are_switched(tmp_path):
    arch = """
class Stubborn(Net):
    def __init__(self):
        super().__init__(2)
        self.norm = nn.BatchNorm2d(3)

    def eval(self):
        return self

def srmodel():
    return Stubborn()
"""
    loaded = load(folder(tmp_path, arch), "arch:srmodel", 2, None)
    assert not loaded.network.norm.training
    assert any("training mode" in note for note in loaded.notes)


def test_a_protocol_submission_may_load_its_own_checkpoint(tmp_path):
    arch = """
import os

def srmodel():
    net = Net(2)
    state = torch.load(os.path.join(os.path.dirname(__file__), "checkpoint.pth"))
    net.load_state_dict({key[4:]: value for key, value in state.items()})
    return net
"""
    root = folder(tmp_path, arch)
    state = {"conv.weight": torch.full((12, 3, 3, 3), 0.5), "conv.bias": torch.zeros(12)}
    torch.save({f"odd_{key}": value for key, value in state.items()}, root / "checkpoint.pth")
    loaded = load(root, "arch:srmodel", 2, Path("checkpoint.pth"))
    assert float(loaded.network.conv.weight.mean()) == 0.5
    assert any("loads checkpoint.pth itself" in note for note in loaded.notes)
    (root / "submission.toml").write_text('[submission]\nname = "a"\nscales = [2]\n')
    with pytest.raises(CheckpointError, match="does not fit"):
        load(root, "arch:srmodel", 2, Path("checkpoint.pth"))


def test_without_manifest_the_network_shows_its_scale(tmp_path):
    root = folder(tmp_path, "def srmodel():\n    return Net(3)\n")
    with pytest.raises(UnsupportedError, match="upscales by 3, not by 2"):
        load_network(root, "arch:srmodel", 2, None)
    assert load_network(root, "arch:srmodel", 3, None)
    (root / "submission.toml").write_text('[submission]\nname = "a"\nscales = [2]\n')
    assert load_network(root, "arch:srmodel", 2, None)


def test_requirements_of_the_manifest_bind_those_of_the_text_file_inform(tmp_path):
    root = folder(tmp_path, "def srmodel():\n    return Net(2)\n")
    (root / "requirements.txt").write_text("# ours\n-f wheels\ntorch>=1.0\nno-such-package-here==3  # why\n\n")
    note, *_ = load(root, "arch:srmodel", 2, None).notes
    assert note == "requirements.txt asks for no-such-package-here==3 (not installed); measured without"
    text = '[submission]\nname = "a"\nscales = [2]\nrequires = ["numpy<1", "other; sys_platform == \'plan9\'"]\n'
    (root / "submission.toml").write_text(text)
    with pytest.raises(
        UnsupportedError, match=r"requires numpy<1 \([0-9.]+ is installed\)\. Run with --install, or install"
    ):
        load(root, "arch:srmodel", 2, None)


def test_hooks_of_torch_may_rename_keys(tmp_path):
    arch = """
def srmodel():
    net = Net(2)
    net.conv = nn.utils.parametrizations.weight_norm(net.conv)
    net.norm = nn.BatchNorm2d(3)
    return net
"""
    root = folder(tmp_path, arch)
    old = {
        "conv.weight_g": torch.ones(12, 1, 1, 1),
        "conv.weight_v": torch.ones(12, 3, 3, 3),
        "conv.bias": torch.zeros(12),
    }
    norm = {f"norm.{key}": torch.ones(3) for key in ("weight", "bias", "running_mean", "running_var")}
    counted = {"total_ops": torch.zeros(1), "conv.total_params": torch.zeros(1)}
    torch.save({**old, **norm, **counted}, root / "x2.pth")
    network = load_network(root, "arch:srmodel", 2, Path("x2.pth"))
    assert float(network.conv.weight[0].norm()) == pytest.approx(1.0)


@pytest.mark.parametrize("how", ["script(net)", "trace(net, torch.rand(1, 3, 8, 8))", "freeze(torch.jit.script(net))"])
def test_scripted_networks_are_loaded_as_traced_ones(tmp_path, how):
    root = folder(tmp_path, f"def srmodel():\n    net = Net(2).eval()\n    return torch.jit.{how}\n")
    network = load_network(root, "arch:srmodel", 2, None)
    assert network(torch.rand(1, 3, 9, 11)).shape == (1, 3, 18, 22)
    assert not any(parameter.requires_grad for parameter in network.parameters())
