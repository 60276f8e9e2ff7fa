"""Train the models listed in ``queue.toml`` one after another: ``python -m training.queue``."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import HarnessError, UsageError
from training.loop import Limits
from training.network import SUBMISSIONS, weights_path
from training.recipe import read_recipe
from training.run import DEFAULTS, Places, Start, run

QUEUE = Path(__file__).with_name("queue.toml")


class Item(BaseModel):
    """One training schedule of one model.

    Attributes
    ----------
    minutes
        Training time after which the schedule ends, even if steps are left.
    round
        Round 1 starts from an interpolation, round n from the weights that round n - 1 stored.
    from_scale
        Scale whose weights initialize the body in the first round.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    scale: int = 2
    minutes: float | None = None
    round: int = 1
    from_scale: int | None = None
    steps: int | None = None
    lr: float | None = None

    @property
    def name(self) -> str:
        """Description of the schedule."""
        return f"{self.model} x{self.scale} round {self.round}"


def read_queue(path: Path) -> list[Item]:
    """Read the queue file.

    Raises
    ------
    UsageError
        If an entry contains an unknown key or a value of the wrong type.
    """
    try:
        return [Item.model_validate(entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["train"]]
    except (KeyError, ValidationError) as error:
        raise UsageError(f"the queue cannot be read: {error}", where=str(path)) from error


def rounds_done(model: str, scale: int, submissions: Path = SUBMISSIONS) -> int:
    """Return the number of schedules by which the stored weights were trained; 0 if there are no weights."""
    log = weights_path(model, scale, submissions).with_suffix(".json")
    return int(json.loads(log.read_text(encoding="utf-8")).get("rounds", 1)) if log.exists() else 0


def next_item(items: list[Item], submissions: Path, skipped: set[str]) -> Item | None:
    """Return the first unfinished schedule whose requirements (model, body, previous round) are met, or None."""
    for item in items:
        # A round can start if exactly the rounds before it are done.
        missing = item.round - rounds_done(item.model, item.scale, submissions)
        body = item.from_scale is None or weights_path(item.model, item.from_scale, submissions).exists()
        present = (submissions / item.model / "submission.toml").exists()
        if missing == 1 and body and present and item.name not in skipped:
            return item
    return None


def main(
    queue: Annotated[Path, typer.Option(help="Queue file; it is read again before every model.")] = QUEUE,
    hr: Annotated[Path, typer.Option(help="Folder of HR images.")] = DEFAULTS.hr,
    shrink: Annotated[str, typer.Option(help="Factors to downscale the HR images by, with commas.")] = "1",
    validation: Annotated[Path, typer.Option(help="Folder of validation images.")] = DEFAULTS.validation,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = DEFAULTS.threads,
    pause_file: Annotated[Path | None, typer.Option(help="Pause while this file exists.")] = None,
) -> None:
    """Train all unfinished schedules of the queue; continue a model that was interrupted."""
    factors = tuple(float(factor) for factor in shrink.split(","))
    places = replace(DEFAULTS, hr=hr, shrink=factors, validation=validation, threads=threads)
    skipped: set[str] = set()
    while (item := next_item(read_queue(queue), SUBMISSIONS, skipped)) is not None:
        print(f"next: {item.name}", flush=True)
        try:
            if not _train(item, places, pause_file):
                raise typer.Exit(130)
        except HarnessError as error:
            print(f"{item.name}: skipped: {error}", flush=True)
            skipped.add(item.name)


def _train(item: Item, places: Places, pause_file: Path | None) -> bool:
    recipe = read_recipe(item.model, item.scale, steps=item.steps, lr=item.lr)
    limits = Limits(seconds=None, pause_file=pause_file)
    if item.minutes is not None:
        limits = replace(limits, seconds=60 * item.minutes)
    start = Start(warm=item.round > 1, from_scale=item.from_scale)
    return run(item.model, item.scale, recipe, places, limits, start)


if __name__ == "__main__":
    typer.run(main)
