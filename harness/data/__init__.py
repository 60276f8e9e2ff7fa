"""Images and data sets: reading, cropping, degrading, pairing."""

from harness.data.crop import centre_crop, centre_crop_to
from harness.data.datasets import Dataset
from harness.data.degradation import Degradation, degrade, get_degradation, jpeg, list_degradations
from harness.data.images import encode_png, list_images, read_rgb, write_png
from harness.data.opening import open_dataset
from harness.data.preparation import Prepared, prepare

__all__ = [
    "Dataset",
    "Degradation",
    "Prepared",
    "centre_crop",
    "centre_crop_to",
    "degrade",
    "encode_png",
    "get_degradation",
    "jpeg",
    "list_degradations",
    "list_images",
    "open_dataset",
    "prepare",
    "read_rgb",
    "write_png",
]
