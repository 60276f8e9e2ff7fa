"""Bicubic interpolation, the baseline of all real-time scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def upscale_bicubic(lr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Upscale an image by bicubic interpolation as in the baseline of the NTIRE 2023 real-time challenge.

    Applies ``torch.nn.functional.interpolate(mode="bicubic", align_corners=False)`` in float32 to values in [0, 1],
    clamps, and rounds to 8 bits. No antialiasing filter is involved, unlike in MATLAB's ``imresize``.

    Parameters
    ----------
    lr
        Image of shape (H, W, 3), uint8.
    scale
        Upscaling factor.

    Returns
    -------
    numpy.ndarray
        Image of shape (H * scale, W * scale, 3), uint8.
    """
    # Import torch on demand, because it takes seconds and most functions of this package do not need it.
    import torch

    from harness.quality.tensors import quantise

    # torch.tensor copies; from_numpy would warn about arrays that are read-only, as cached images on disk are.
    frame = torch.tensor(lr).permute(2, 0, 1)[None].float() / 255.0
    upscaled = torch.nn.functional.interpolate(frame, scale_factor=scale, mode="bicubic", align_corners=False)
    return np.ascontiguousarray(quantise(upscaled)[0].permute(1, 2, 0).numpy())
