"""Centre crops, to the pixel where the challenge's own script cuts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def centre_crop(image: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Crop the middle of an image so that both sides are multiples of `multiple`.

    Parameters
    ----------
    image
        H x W x 3, uint8.
    multiple
        Usually the scale.

    Returns
    -------
    numpy.ndarray
        The crop, C-contiguous; the image itself where nothing is cut.
    """
    height, width = image.shape[:2]
    return centre_crop_to(image, height - height % multiple, width - width % multiple)


def centre_crop_to(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Crop the middle `height` x `width` pixels.

    An odd rest is halved to the nearest even number, as torchvision's ``center_crop`` does, which the challenge's
    ``prepare_data.py`` calls.

    Raises
    ------
    ValueError
        The image is smaller than the crop.
    """
    rows, columns = image.shape[0] - height, image.shape[1] - width
    if rows < 0 or columns < 0:
        raise ValueError(f"cannot crop {width}x{height} from {image.shape[1]}x{image.shape[0]}")
    if rows == columns == 0:
        return image
    top, left = round(rows / 2), round(columns / 2)
    return np.ascontiguousarray(image[top : top + height, left : left + width])
