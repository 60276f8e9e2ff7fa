"""How long and how fast a network learns: one table per model in ``configs.toml`` over common defaults."""

import math
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import UsageError

CONFIGS = Path(__file__).with_name("configs.toml")


class Recipe(BaseModel):
    """Everything that decides the weights besides the images, the network and the machine's arithmetic.

    Attributes
    ----------
    steps
        Length of the schedule in optimiser steps.
    batch, patch
        Number of patches of a step, and their side in LR pixels.
    lr, lr_end, warmup
        Peak learning rate, the rate at the end of the cosine, and the steps of linear warm-up.
    tail_lr
        Rate of the last layer as a share of the others': a wide transposed convolution sums over more than a thousand
        weights for a pixel, so that one step of each moves the image far (0.1 in Dong et al., "Accelerating the
        Super-Resolution Convolutional Neural Network", ECCV 2016).
    l2_from
        Share of the schedule after which the loss changes from L1 to L2, which is what PSNR measures.
    exact_from
        Share of the schedule after which arithmetic changes from bfloat16 to float32.
    clip
        Largest norm of the gradient of a step: one odd batch cannot throw the weights away.
    ema
        Decay of the moving average of the weights, which is what is validated and stored.
    validations
        Number of validations, evenly spaced over the schedule.
    flat_db
        A gain of validation PSNR, in dB over a fifth of the schedule, below which the curve counts as flat.
    near_identity
        Whether plain convolutions of the body start as carriers of their input.
    fit_tail
        Iterations of the quadratic fit that turns the last convolution into an interpolation before step 0.
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
    """Return the recipe of a model at a scale: defaults, then its table, then its scale's, then ``changes``.

    Raises
    ------
    UsageError
        If a table holds an unknown key or a value of the wrong type.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    merged: dict[str, Any] = {}
    for name in ("defaults", model, f"{model}-x{scale}"):
        merged.update(tables.get(name, {}))
    merged.update({key: value for key, value in changes.items() if value is not None})
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        raise UsageError(f"the recipe of {model} is wrong: {error}", where=str(path)) from error


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Return the learning rate: linear warm-up by ``step``, then a cosine over ``progress`` in [0, 1]."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    warm = min(1.0, (step + 1) / max(1, recipe.warmup))
    return warm * (recipe.lr_end + (recipe.lr - recipe.lr_end) * cosine)
