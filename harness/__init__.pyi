"""Types of the public interface; the functions are imported when they are used."""

from harness.api.benchmarking import Benchmark, benchmark
from harness.api.complexity_function import complexity
from harness.api.evaluation import evaluate
from harness.api.images import psnr, ssim
from harness.api.metrics import PSNR, SSIM
from harness.api.networks import reparameterize
from harness.api.run_function import run
from harness.api.scoring import score
from harness.api.stored_run import Run, load_run
from harness.complexity.count import Complexity
from harness.quality.evaluate import Quality

__version__: str

__all__ = [
    "PSNR",
    "SSIM",
    "Benchmark",
    "Complexity",
    "Quality",
    "Run",
    "__version__",
    "benchmark",
    "complexity",
    "evaluate",
    "load_run",
    "psnr",
    "reparameterize",
    "run",
    "score",
    "ssim",
]
