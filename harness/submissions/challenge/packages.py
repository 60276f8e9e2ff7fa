"""Which distribution provides a package that challenge code imports.

The table holds the packages that networks in public repositories use. A name that is not in it is never advised to be
installed: it may be a file that the authors forgot, and somebody else's package of that name would be executed instead.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable

DISTRIBUTIONS = {
    "basicsr": "basicsr",
    "causal_conv1d": "causal-conv1d",
    "cv2": "opencv-python-headless",
    "einops": "einops",
    "fvcore": "fvcore",
    "h5py": "h5py",
    "huggingface_hub": "huggingface-hub",
    "imageio": "imageio",
    "kornia": "kornia",
    "lightning": "lightning",
    "lmdb": "lmdb",
    "lpips": "lpips",
    "mamba_ssm": "mamba-ssm",
    "matplotlib": "matplotlib",
    "mmcv": "mmcv",
    "natsort": "natsort",
    "natten": "natten",
    "numba": "numba",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxsim": "onnxsim",
    "pandas": "pandas",
    "PIL": "pillow",
    "ptflops": "ptflops",
    "pytorch_lightning": "pytorch-lightning",
    "pywt": "PyWavelets",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tensorboardX": "tensorboardX",
    "thop": "thop",
    "timm": "timm",
    "torchinfo": "torchinfo",
    "torchstat": "torchstat",
    "torchsummary": "torchsummary",
    "torchvision": "torchvision",
    "tqdm": "tqdm",
    "transformers": "transformers",
    "yaml": "PyYAML",
}
"""Distribution by the name under which it is imported."""


def required(imported: Iterable[str]) -> list[str]:
    """Return the distributions of imported packages that are not installed, as far as they are known, sorted."""
    return sorted({DISTRIBUTIONS[name] for name in imported if name in DISTRIBUTIONS and not is_installed(name)})


def is_installed(name: str) -> bool:
    """Return whether a top-level module can be found; nothing is imported."""
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False
