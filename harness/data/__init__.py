"""Images and data sets: reading, cropping, degrading, pairing."""

from harness.data.crop import centre_crop, centre_crop_to
from harness.data.datasets import Dataset
from harness.data.degradation import DEGRADATIONS, Degradation, degrade, get_degradation, jpeg
from harness.data.fetching import fetch
from harness.data.images import encode_png, list_images, read_rgb, write_png
from harness.data.opening import open_dataset
from harness.data.preparation import Prepared, PrepareOptions, prepare
from harness.data.registry import KNOWN_DATASETS, add, list_datasets, registered, verify

__all__ = [
    "DEGRADATIONS",
    "KNOWN_DATASETS",
    "Dataset",
    "Degradation",
    "PrepareOptions",
    "Prepared",
    "add",
    "centre_crop",
    "centre_crop_to",
    "degrade",
    "encode_png",
    "fetch",
    "get_degradation",
    "jpeg",
    "list_datasets",
    "list_images",
    "open_dataset",
    "prepare",
    "read_rgb",
    "registered",
    "verify",
    "write_png",
]
