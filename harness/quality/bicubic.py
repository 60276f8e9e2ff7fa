"""The interpolation that every real-time score is measured against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def upscale_bicubic(lr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Upscale by bicubic interpolation as the NTIRE 2023 real-time challenge defines its baseline.

    ``torch.nn.functional.interpolate(mode="bicubic", align_corners=False)`` in float32 on [0, 1], clamped, rounded.

    Parameters
    ----------
    lr
        H x W x 3, uint8.
    scale
        Upscaling factor.

    Returns
    -------
    numpy.ndarray
        (H * scale) x (W * scale) x 3, uint8.
    """
    import torch

    from harness.quality.tensors import quantise

    frame = torch.tensor(lr).permute(2, 0, 1)[None].float() / 255.0
    upscaled = torch.nn.functional.interpolate(frame, scale_factor=scale, mode="bicubic", align_corners=False)
    return np.ascontiguousarray(quantise(upscaled)[0].permute(1, 2, 0).numpy())
