"""Crops; those of the centre match those of the challenge's own script to the pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def centre_crop(image: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Crop the centre of an image so that both sides are multiples of `multiple`.

    Parameters
    ----------
    image
        Image, H x W x 3, uint8.
    multiple
        Divisor of the resulting sides, usually the scale.

    Returns
    -------
    numpy.ndarray
        The crop, C-contiguous; `image` itself if nothing is cropped.
    """
    height, width = image.shape[:2]
    return centre_crop_to(image, height - height % multiple, width - width % multiple)


def centre_crop_to(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Crop the central `height` x `width` pixels.

    If the margin is odd, half of it is rounded to the nearest even number. torchvision's ``center_crop``, which the
    challenge's ``prepare_data.py`` calls, does the same.

    Raises
    ------
    ValueError
        The image is smaller than the crop.
    """
    rows, columns = image.shape[0] - height, image.shape[1] - width
    if rows < 0 or columns < 0:
        raise ValueError(f"cannot crop {width}x{height} from {image.shape[1]}x{image.shape[0]}")
    # Without a copy.
    if rows == columns == 0:
        return image
    # Python's round() takes halves to the nearest even number, as torchvision does.
    return crop_at(image, (round(rows / 2), round(columns / 2)), (height, width))


def crop_at(image: NDArray[np.uint8], offset: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Crop `size` (rows, columns) at `offset` from the top left; the result is C-contiguous.

    Raises
    ------
    ValueError
        The crop reaches beyond the image.
    """
    (top, left), (height, width) = offset, size
    bottom, right = top + height, left + width
    if min(top, left) < 0 or bottom > image.shape[0] or right > image.shape[1]:
        raise ValueError(f"cannot crop {width}x{height} at ({left}, {top}) from {image.shape[1]}x{image.shape[0]}")
    return np.ascontiguousarray(image[top:bottom, left:right])
