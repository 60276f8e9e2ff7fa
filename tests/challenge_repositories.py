"""Repositories in the layouts of the efficient super-resolution challenges, written for the tests.

Each has three teams: number 1 is plain, number 2 needs a package that is not there, number 3 crashes. The scripts
import packages for measuring that do not exist anywhere: whoever executes a whole script fails.
"""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent

import torch

SCALE = 4
GAIN = 1.1
"""Parameter of every network: how much sharper than bicubic interpolation it is."""

NETWORK = """
import torch
from torch import nn
from torch.nn import functional


class Sharp(nn.Module):
    def __init__(self, in_nc=3, *, upscale=4, parts=(1, 2)):
        super().__init__()
        assert (in_nc, list(parts)) == (3, [1, 2])
        self.upscale = upscale
        self.gain = nn.Parameter(torch.zeros(1))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        bicubic, bilinear = (
            functional.interpolate(x, scale_factor=float(self.upscale), mode=mode) for mode in ("bicubic", "bilinear")
        )
        return self.gain * bicubic + (1 - self.gain) * bilinear
"""
CRASHES = NETWORK.replace("        self.calls = 0", "        import os\n        os._exit(3)")
RAISES = NETWORK.replace("        self.calls = 0", "        raise RuntimeError('no network today')")

HEAD = """
import argparse
import os.path
import torch
import a_counter_that_nobody_has
from utils import utils_image as util

"""
MEASURING = """

def forward(image, model, tile=None, tile_overlap=32, scale=4):
    return model(image)


def run(model, name, data_range, args):
    sf = 4
    return util.psnr(model, sf)

"""
CALLED = """

def main(args):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, name, data_range, tile = select_model(args, device)
    run(model, name, data_range, args)


if __name__ == "__main__":
    main(argparse.ArgumentParser().parse_args())
"""
TAIL = """
    model.eval()
    tile = {tile}
    for k, v in model.named_parameters():
        v.requires_grad = False
    model = model.to(device)
    return model, name, data_range, tile
"""


def write_2022(folder: Path) -> Path:
    """Packages of several files, a value range of 255, empty branches."""
    chain = """
    if model_id == 1:
        # Plain Team
        from models.team01_plain.network import Sharp as Plain
        name, data_range = f"{model_id:02}_Plain", 255.0
        model_path = os.path.join('model_zoo', 'team01_plain.pth')
        model = Plain(upscale=4)
        state_dict = torch.load(model_path)
        new_state_dict = dict()
        for k, v in state_dict.items():
            new_state_dict[k.replace("module.", "")] = v
        model.load_state_dict(new_state_dict, strict=True)
    elif model_id == 2:
        from models.team02_lacks.network import Sharp
        name, data_range = f"{model_id:02}_Lacks", 1.0
        model_path = os.path.join('model_zoo', 'team02.pt')
        model = Sharp()
        model.load_state_dict(torch.load(model_path, map_location=device), strict=True)
    elif model_id == 3:
        from models.team03_raises import Sharp
        name, data_range = f"{model_id:02}_Raises", 1.0
        model_path = "model_zoo/team03.pth"
        model = Sharp()
        model.load_state_dict(torch.load(model_path), strict=True)
    elif model_id == 4:
        # Team that withdrew
        pass
    else:
        raise NotImplementedError(f"Model {model_id} is not implemented.")
    """
    _write_script(folder, chain, tile="256 if model_id == 1 else None")
    _write(folder / "models/team01_plain/network.py", "from .parts import Sharp\n")
    _write(folder / "models/team01_plain/parts.py", f"from models.common import nothing\n{NETWORK}")
    _write(folder / "models/common.py", "nothing = None\n")
    _write(folder / "models/team02_lacks/network.py", f"import mamba_ssm\n{NETWORK}")
    _write(folder / "models/team03_raises.py", RAISES)
    _save(folder / "model_zoo/team01_plain.pth", {"module.gain": torch.full((1,), GAIN)})
    for name in ("team02.pt", "team03.pth"):
        _save(folder / "model_zoo" / name, _state())
    return folder


def write_2024(folder: Path) -> Path:
    """Modules by ``importlib``, wrapped and loosely loaded checkpoints, a branch in comments."""
    chain = """
    if model_id == 1:
        import importlib
        model_module = importlib.import_module(f'models.team{model_id:02}_Plain')
        name, data_range = f"{model_id:02}_Plain", 1.0
        model = getattr(model_module, f'Sharp')(3, upscale=4).eval().to(device)
        model_path = os.path.join('model_zoo', f'team01_plain.pth')
        stat_dict = torch.load(model_path)
        model.load_state_dict(stat_dict, strict=False)
    elif model_id == 2:
        from models.team02_Lacks import Sharp
        name, data_range = f"{model_id:02}_Lacks", 1.0
        model = Sharp(parts=[1] + [2])
        model_path = os.path.join('model_zoo', 'team02.pth')
        loadnet = torch.load(model_path)
        if 'params_ema' in loadnet:
            keyname = 'params_ema'
        else:
            keyname = 'params'
        model.load_state_dict(loadnet[keyname], strict=True)
    elif model_id == 3:
        from models.team03_Raises import Sharp
        name,data_range=f"{model_id:02}_Raises", 1.0
        model_path = os.path.join('model_zoo','team03.pth')
        model = Sharp()
        model.load_state_dict(torch.load(model_path)['params'], strict=True)
    # elif model_id == 4:
    #     from models.team[Your_Team_ID]_[Model_Name] import [Model_Name]
    else:
        raise NotImplementedError(f"Model {model_id} is not implemented.")
    """
    _write_script(folder, chain)
    _write(folder / "models/team01_Plain.py", NETWORK)
    _write(folder / "models/team02_Lacks.py", f"import a_file_that_they_forgot\n{NETWORK}")
    _write(folder / "models/team03_Raises.py", RAISES)
    _save(folder / "model_zoo/team01_plain.pth", {**_state(), "branch.only_in_training": torch.ones(2)})
    _save(folder / "model_zoo/team02.pth", {"params": _state()})
    _save(folder / "model_zoo/team03.pth", {"params": _state()})
    return folder


def write_2025(folder: Path) -> Path:
    """A conversion after loading, ``.cuda()``, a package that has the name of an installed one."""
    chain = """
    if model_id == 1:
        from models.team01_Plain import Sharp
        name, data_range = f"{(model_id):02}_Plain", 1.0
        model_path = './model_zoo/team01_plain.pth'
        model = Sharp()
        model.load_state_dict(torch.load(model_path)["params_ema"])
        for module in model.modules():
            if hasattr(module, 'switch_deploy'):
                module.switch_deploy()
        model = model.cuda()
        model.eval()
    elif model_id == 2:
        from models.team02_Lacks import Sharp
        name, data_range = f"{model_id:02}_Lacks", 1.0
        model_path = os.path.join('model_zoo', 'team02.pth')
        model = Sharp()
        model.load_weights(model_path)
    elif model_id == 3:
        from models.team03_Crashes import Sharp
        name, data_range = f"{model_id:02}_Crashes", 1.0
        model_path = os.path.join('model_zoo', 'team03.pth')
        model = Sharp()
        model.load_state_dict(torch.load(model_path), strict=True)
    elif model_id == 31:
        pass
    """
    _write_script(folder, chain)
    deploys = "\n    def switch_deploy(self):\n        self.deployed = True\n"
    _write(folder / "models/team01_Plain.py", f"from fvcore.extra import upscaling\n{NETWORK}{deploys}")
    _write(folder / "fvcore/__init__.py", "")
    _write(folder / "fvcore/extra.py", "upscaling = 4\n")
    loads = "\n    def load_weights(self, path):\n        import mamba_ssm\n"
    _write(folder / "models/team02_Lacks.py", f"{NETWORK}{loads}")
    _write(folder / "models/team03_Crashes.py", CRASHES)
    _save(folder / "model_zoo/team01_plain.pth", {"params_ema": _state(), "params": {"gain": torch.zeros(1)}})
    for name in ("team02.pth", "team03.pth"):
        _save(folder / "model_zoo" / name, _state())
    return folder


def write_2026(folder: Path) -> Path:
    """A warm-up, weights under a key that is searched for, a branch that changes ``sys.path``."""
    chain = """
    if model_id == 1:
        from models.team01_Plain import Sharp
        name, data_range = f"{model_id:03}_Plain", 1.0  # You can choose either 1.0 or 255.0
        model_path = os.path.join('model_zoo', 'team01_plain.pth')
        model = Sharp()
        ckpt = torch.load(model_path, map_location=device)
        if isinstance(ckpt, dict) and ('params_ema' in ckpt or 'params' in ckpt):
            state = ckpt.get('params_ema', ckpt.get('params'))
        else:
            state = ckpt
        model.load_state_dict(state, strict=True)
        inp = torch.randn(1, 3, 256, 256).to(device)
        for i in range(20):
            out = model(inp)
    elif model_id == 2:
        import sys
        extra = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'extra')
        if extra not in sys.path:
            sys.path.insert(0, extra)
        from models.team02_Lacks import Sharp
        name, data_range = f"{model_id:02}_Lacks", 1.0
        model_path = os.path.join('model_zoo', 'team02.pth')
        model = Sharp()
        state = torch.load(model_path, map_location='cpu')
        for key in ['model', 'state_dict', 'params']:
            if isinstance(state, dict) and key in state:
                state = state[key]
                break
        model.load_state_dict(state, strict=True)
    elif model_id == 3:
        from models.team03_Crashes import Sharp
        name, data_range = f"{model_id:02}_Crashes", 1.0
        model_path = os.path.join('model_zoo', 'team03.pth')
        model = Sharp()
        model.load_state_dict(torch.load(model_path), strict=True)
    else:
        raise NotImplementedError(f"Model {model_id} is not implemented.")
    """
    _write_script(folder, chain)
    _write(folder / "models/team01_Plain.py", NETWORK)
    _write(folder / "models/team02_Lacks.py", f"import mamba_ssm\n{NETWORK}")
    _write(folder / "extra/setup.py", "")
    _write(folder / "models/team03_Crashes.py", CRASHES)
    _save(folder / "model_zoo/team01_plain.pth", {"params_ema": _state()})
    _save(folder / "model_zoo/team02.pth", {"params": _state()})
    _save(folder / "model_zoo/team03.pth", _state())
    return folder


def write_in_main(folder: Path) -> Path:
    """The chain stands in ``main``, between what a measurement needs."""
    chain = """
    model_id = args.model_id
    util.mkdir(args.save_dir)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if model_id == 1:
        from models.team01_Plain import Sharp
        name, data_range = f"{model_id:02}_Plain", 1.0
        model = Sharp()
        model.load_state_dict(torch.load(os.path.join('model_zoo', 'team01_plain.pth')), strict=True)
    elif model_id == 2:
        from models.team02_Lacks import Sharp
        name, data_range = f"{model_id:02}_Lacks", 1.0
        model = Sharp()
        model.load_state_dict(torch.load(os.path.join('model_zoo', 'team01_plain.pth')), strict=True)
    model.eval()
    model = model.to(device)
    run(model, name, data_range, args)
    """
    _write(folder / "test_demo.py", f"{HEAD}{MEASURING}\ndef main(args):\n{indent(dedent(chain), ' ' * 4)}")
    _write(folder / "models/team01_Plain.py", NETWORK)
    _write(folder / "models/team02_Lacks.py", f"import mamba_ssm\n{NETWORK}")
    _save(folder / "model_zoo/team01_plain.pth", _state())
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "2022": write_2022,
    "2024": write_2024,
    "2025": write_2025,
    "2026": write_2026,
}


def _write_script(folder: Path, chain: str, tile: str = "None") -> None:
    start = "def select_model(args, device):\n    model_id = args.model_id\n"
    body = indent(dedent(chain), " " * 4)
    _write(folder / "test_demo.py", f"{HEAD}{start}{body}{TAIL.format(tile=tile)}{MEASURING}{CALLED}")
    _write(folder / "utils/utils_image.py", "import a_viewer_that_nobody_has\n")
    _write(folder / "README.md", "A challenge.\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _state() -> dict[str, torch.Tensor]:
    return {"gain": torch.full((1,), GAIN)}


def _save(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
