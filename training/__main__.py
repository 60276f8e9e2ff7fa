"""Train one model: ``python -m training MODEL --scale 2``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from training.loop import Limits
from training.recipe import read_recipe
from training.run import DEFAULTS, Start, run


def main(
    model: Annotated[str, typer.Argument(help="Folder name under submissions/.")],
    scale: Annotated[int, typer.Option(help="Upscaling factor.")] = 2,
    hr: Annotated[Path, typer.Option(help="Folder of HR images.")] = DEFAULTS.hr,
    shrink: Annotated[str, typer.Option(help="Factors to downscale the HR images by, with commas.")] = "1",
    validation: Annotated[Path, typer.Option(help="Folder of validation images.")] = DEFAULTS.validation,
    steps: Annotated[int | None, typer.Option(help="Length of the schedule in steps.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Training time after which the schedule ends, even if steps are left.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    warm: Annotated[bool, typer.Option("--continue", help="Start a new schedule from the stored weights.")] = False,
    from_scale: Annotated[int | None, typer.Option(help="Load the body from the weights of this scale.")] = None,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = DEFAULTS.threads,
    pause_file: Annotated[Path | None, typer.Option(help="Pause while this file exists.")] = None,
) -> None:
    """Train one model; continue from its checkpoint in training/state if there is one."""
    recipe = read_recipe(model, scale, steps=steps, lr=lr)
    factors = tuple(float(factor) for factor in shrink.split(","))
    places = replace(DEFAULTS, hr=hr, shrink=factors, validation=validation, threads=threads)
    limits = Limits(seconds=None if minutes is None else 60 * minutes, pause_file=pause_file)
    finished = run(model, scale, recipe, places, limits, Start(warm=warm, from_scale=from_scale))
    if not finished:
        print(f"{model} x{scale}: interrupted; the same command resumes it")
        raise typer.Exit(130)


if __name__ == "__main__":
    typer.run(main)
