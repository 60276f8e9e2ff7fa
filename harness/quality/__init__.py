"""Compute exact PSNR and SSIM under named conventions, and the bicubic baseline of the scores."""

from harness.quality.bicubic import upscale_bicubic
from harness.quality.convention import CONVENTIONS, Convention, get_convention
from harness.quality.evaluate import Quality, average, evaluate_pair, psnr, ssim
from harness.quality.folders import ImageFailure, ImageScore, score_folders
from harness.quality.luma import LUMAS, Luma, luma_plane
from harness.quality.metrics import get_metric, list_metrics
from harness.quality.window import GAUSSIAN, UNIFORM, Window

__all__ = [
    "CONVENTIONS",
    "GAUSSIAN",
    "LUMAS",
    "UNIFORM",
    "Convention",
    "ImageFailure",
    "ImageScore",
    "Luma",
    "Quality",
    "Window",
    "average",
    "evaluate_pair",
    "get_convention",
    "get_metric",
    "list_metrics",
    "luma_plane",
    "psnr",
    "score_folders",
    "ssim",
    "upscale_bicubic",
]
