"""Hyperparameters of training: common defaults and one table per model in ``configs.toml``."""

import math
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import UsageError

CONFIGS = Path(__file__).with_name("configs.toml")


class Recipe(BaseModel):
    """Hyperparameters that, with images, network and floating-point arithmetic, determine the trained weights.

    Attributes
    ----------
    steps
        Length of the schedule in optimizer steps.
    batch, patch
        Number of patches per step, and their side length in LR pixels.
    lr, lr_end, warmup
        Peak learning rate, learning rate at the end of the cosine schedule, and number of linear warm-up steps.
    tail_lr
        Learning rate of the last layer relative to the other layers. A wide transposed convolution sums over more than
        a thousand weights per pixel, so that small steps of each weight change the image considerably (0.1 in Dong et
        al., "Accelerating the Super-Resolution Convolutional Neural Network", ECCV 2016).
    l2_from
        Share of the schedule after which the loss changes from L1 to L2, on which PSNR depends.
    exact_from
        Share of the schedule after which arithmetic changes from bfloat16 to float32.
    clip
        Maximum norm of the gradient, which limits the effect of outlier batches.
    ema
        Decay of the exponential moving average of the weights, which is validated and stored.
    validations
        Number of validations, evenly spaced over the schedule.
    flat_db
        Gain of validation PSNR in dB over a fifth of the schedule below which the curve is considered flat.
    near_identity
        Whether plain convolutions of the body are initialized near the identity.
    fit_tail
        Iterations of the fit that initializes the last convolution as an interpolation.
    seed
        Seed of initialization and patches.
    store
        Precision of the stored weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = 20_000
    batch: int = 16
    patch: int = 48
    lr: float = 2e-3
    lr_end: float = 1e-6
    warmup: int = 200
    tail_lr: float = 1.0
    l2_from: float = 0.8
    exact_from: float = 0.9
    clip: float = 0.5
    ema: float = 0.999
    validations: int = 20
    flat_db: float = 0.005
    near_identity: bool = True
    fit_tail: int = 60
    seed: int = 2023
    store: Literal["float32", "float16"] = "float32"


def read_recipe(model: str, scale: int, *, path: Path = CONFIGS, **changes: Any) -> Recipe:
    """Return the recipe of a model at a scale.

    The defaults are overridden by the table of the model, then by that of model and scale, then by ``changes`` that are
    not None.

    Raises
    ------
    UsageError
        If a table contains an unknown key or a value of the wrong type.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    merged: dict[str, Any] = {}
    for name in ("defaults", model, f"{model}-x{scale}"):
        merged.update(tables.get(name, {}))
    merged.update({key: value for key, value in changes.items() if value is not None})
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        raise UsageError(f"the recipe of {model} is invalid: {error}", where=str(path)) from error


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Return the learning rate: linear warm-up in ``step``, times a cosine schedule in ``progress`` in [0, 1]."""
    # Cosine annealing without restarts (Loshchilov and Hutter, "SGDR", ICLR 2017).
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    warm = min(1.0, (step + 1) / max(1, recipe.warmup))
    return warm * (recipe.lr_end + (recipe.lr - recipe.lr_end) * cosine)
