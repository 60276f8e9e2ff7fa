"""Which distribution provides a package that super-resolution code imports, for messages and for ``--install``.

Only packages that are listed here are advised to be installed. Another name may be that of a file which the authors
forgot, and somebody else's package of that name would be executed instead.
"""

from __future__ import annotations

DISTRIBUTIONS = {
    "accelerate": "accelerate",
    "addict": "addict",
    "basicsr": "basicsr",
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
    "pywt": "PyWavelets",
    "safetensors": "safetensors",
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
    "triton": "triton",
    "xformers": "xformers",
    "yacs": "yacs",
    "yaml": "PyYAML",
}
"""Distribution on the package index by the name of the package that is imported."""


def install_hint(package: str) -> str:
    """Return how to make an imported package available.

    >>> install_hint("cv2")
    'pip install opencv-python-headless, or list it under requires and run with --install'
    """
    distribution = DISTRIBUTIONS.get(package)
    if distribution is not None:
        return f"pip install {distribution}, or list it under requires and run with --install"
    return (
        "ask the authors for the file; if they name a package, install that one, or list it under requires: a package "
        f"that is called {package} on an index may be a stranger's"
    )
