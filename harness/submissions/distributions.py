"""Which distribution provides a package that super-resolution code imports, for messages and for ``--install``.

Only packages that are listed here are advised to be installed. Another name may be that of a file which the authors
forgot, and somebody else's package of that name would be executed instead.
"""

from __future__ import annotations

from collections.abc import Sequence

DISTRIBUTIONS = {
    "accelerate": "accelerate",
    "addict": "addict",
    "basicsr": "basicsr",
    "calflops": "calflops",
    "causal_conv1d": "causal-conv1d",
    "cv2": "opencv-python-headless",
    "diffusers": "diffusers",
    "easydict": "easydict",
    "einops": "einops",
    "flash_attn": "flash-attn",
    "fvcore": "fvcore",
    "h5py": "h5py",
    "huggingface_hub": "huggingface-hub",
    "hydra": "hydra-core",
    "imageio": "imageio",
    "IPython": "ipython",
    "kornia": "kornia",
    "lightning": "lightning",
    "lmdb": "lmdb",
    "lpips": "lpips",
    "mamba_ssm": "mamba-ssm",
    "matplotlib": "matplotlib",
    "mmcv": "mmcv",
    "mmengine": "mmengine",
    "natsort": "natsort",
    "natten": "natten",
    "numba": "numba",
    "omegaconf": "omegaconf",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxsim": "onnxsim",
    "pandas": "pandas",
    "PIL": "pillow",
    "ptflops": "ptflops",
    "pytorch_lightning": "pytorch-lightning",
    "pytorch_msssim": "pytorch-msssim",
    "pywt": "PyWavelets",
    "requests": "requests",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tensorboard": "tensorboard",
    "tensorboardX": "tensorboardX",
    "thop": "thop",
    "timm": "timm",
    "torchinfo": "torchinfo",
    "torchmetrics": "torchmetrics",
    "torchprofile": "torchprofile",
    "torchstat": "torchstat",
    "torchsummary": "torchsummary",
    "torchsummaryX": "torchsummaryX",
    "torchvision": "torchvision",
    "tqdm": "tqdm",
    "transformers": "transformers",
    "triton": "triton",
    "wandb": "wandb",
    "xformers": "xformers",
    "yacs": "yacs",
    "yaml": "PyYAML",
}
"""Distribution on the package index by the name of the package that is imported."""


_COMPILED = frozenset({"causal-conv1d", "flash-attn", "fvcore", "mamba-ssm", "mmcv", "natten"})
"""Distributions that have no wheel on the package index."""
_OF_TORCH = frozenset({"torchvision", "triton"})
"""Distributions that fit one version and one build of torch."""


def install_hint(package: str) -> str:
    """Return how to make an imported package available.

    >>> install_hint("cv2")
    'pip install opencv-python-headless, or list it under requires and run with --install'
    """
    distribution = DISTRIBUTIONS.get(package)
    if distribution is not None:
        return how_to_install([distribution], "list it under requires and run with --install")
    return (
        "ask the authors for the file; if they name a package, install that one, or list it under requires: a package "
        f"that is called {package} on an index may be a stranger's"
    )


def how_to_install(distributions: Sequence[str], otherwise: str) -> str:
    """Return how to install some distributions; `otherwise` is what serves for those that ``--install`` takes."""
    by_hand = [name for name in distributions if name in _COMPILED]
    of_torch = [name for name in distributions if name in _OF_TORCH]
    others = [name for name in distributions if name not in (*by_hand, *of_torch)]
    said = [f"pip install {' '.join(others)}, or {otherwise}"] if others else []
    if by_hand:
        said.append(f"pip install {' '.join(by_hand)}; --install cannot, because there is no wheel")
    if of_torch:
        said.append(f"install {' and '.join(of_torch)} from where torch came from; --install leaves it out")
    return "; ".join(said)
