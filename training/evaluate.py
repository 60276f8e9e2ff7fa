"""Evaluate stored weights on the test sets: ``python -m training.evaluate MODEL --scale 2``.

Prints the mean over images of the RGB PSNR over all pixels of uint8 images, with the degradation of the challenge, in
comparison with bicubic interpolation and the published gain.
"""

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.nn import functional

from training.allocator import keep_pages
from training.collapse import collapse
from training.network import load_trainee, load_weights, weights_path
from training.validation import load_images, mean_psnr

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
TABLE = "published/lrsrn_poster_benchmarks_jpeg90.csv"
SETS = ("Set5", "Set14")


@dataclass(frozen=True, slots=True)
class Gain:
    """RGB PSNR of a network and of bicubic interpolation on one data set, in dB.

    ``published`` is the gain over bicubic interpolation according to the LRSRN poster, or None if it is not listed.
    """

    dataset: str
    psnr: float
    bicubic: float
    published: float | None

    @property
    def share(self) -> float | None:
        """Ratio of the gain to the published gain."""
        return None if self.published is None else (self.psnr - self.bicubic) / self.published


def published_gain(table: Path, model: str, scale: int, dataset: str) -> float | None:
    """Return the gain of a model over bicubic in the table of the poster, in dB, or None if it is not listed."""
    with table.open(encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file) if row["scale"] == f"x{scale}"}
    column = f"{dataset}_psnr_rgb_dB"
    return float(rows[model][column]) - float(rows["Bicubic"][column]) if model in rows else None


def bicubic(scale: int) -> Callable[[Tensor], Tensor]:
    """Return bicubic interpolation as in the reference of the challenge's score."""
    return lambda lr: functional.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)


def evaluate(model: str, scale: int, shared: Path = SHARED) -> list[Gain]:
    """Evaluate the stored weights of a model on Set5 and Set14."""
    trainee = load_trainee(model, scale)
    load_weights(trainee.network, weights_path(model, scale))
    collapse(trainee.network)
    trainee.network.eval()
    gains = []
    for dataset in SETS:
        images = load_images(shared / "data" / dataset / "HR", scale)
        published = published_gain(shared / TABLE, model, scale, dataset)
        reference = mean_psnr(bicubic(scale), images)
        gains.append(Gain(dataset, mean_psnr(trainee.upscale, images), reference, published))
    return gains


def main(
    models: Annotated[list[str], typer.Argument(help="Folder names under submissions/.")],
    scale: Annotated[int, typer.Option(help="Upscaling factor.")] = 2,
    shared: Annotated[Path, typer.Option(help="Folder with data/ and published/.")] = SHARED,
) -> None:
    """Print one row per model and test set."""
    keep_pages()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    print("| model | set | ours dB | bicubic dB | gain dB | published gain dB | share |")
    print("|---|---|---|---|---|---|---|")
    for model in models:
        for gain in evaluate(model, scale, shared):
            published = "-" if gain.published is None else f"{gain.published:.2f}"
            share = "-" if gain.share is None else f"{gain.share:.2f}"
            print(
                f"| {model} x{scale} | {gain.dataset} | {gain.psnr:.3f} | {gain.bicubic:.3f} | "
                f"{gain.psnr - gain.bicubic:+.3f} | {published} | {share} |",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(main)
