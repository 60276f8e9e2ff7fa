"""Train one model: prepare its data, start or resume training, then write weights and log."""

import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from training.allocator import keep_pages
from training.loop import Limits, Trainer, train
from training.network import Trainee, load_trainee, load_weights, save_weights, weights_path
from training.patches import PatchSource, open_patches
from training.recipe import Recipe
from training.validation import load_images

HERE = Path(__file__).resolve().parent
SHARED = HERE.parent.parent / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of images, caches and checkpoints, and number of threads.

    ``shrink`` lists the factors by which HR images are downscaled. On a machine with other load, one thread may be
    faster than two because threads wait for each other whenever one of them is not scheduled.
    """

    hr: Path = HERE / "data"
    shrink: tuple[float, ...] = (1.0,)
    validation: Path = SHARED / "Kodak24" / "HR"
    cache: Path = HERE / "cache"
    state: Path = HERE / "state"
    threads: int = os.cpu_count() or 1


DEFAULTS = Places()


@dataclass(frozen=True, slots=True)
class Start:
    """Initial weights of a new run.

    Attributes
    ----------
    warm
        Start a new schedule from the stored weights of the model.
    from_scale
        Load the body from the weights at another scale; only the tail is initialized.
    """

    warm: bool = False
    from_scale: int | None = None


def run(model: str, scale: int, recipe: Recipe, places: Places, limits: Limits, start: Start) -> bool:
    """Train a model until its schedule ends or the run is interrupted; return whether the schedule ended.

    Weights and log are written only at the end of the schedule. An interrupted run keeps its checkpoint.
    """
    keep_pages()
    torch.set_num_threads(places.threads)
    torch.manual_seed(recipe.seed)
    trainee = load_trainee(model, scale)
    source = open_patches(places.hr, scale, places.shrink, places.cache)
    trainer = Trainer(trainee, recipe, source, places.state / f"{model}-x{scale}.pt")
    if not trainer.resume():  # the checkpoint exists only while a schedule is unfinished
        _begin(trainer, start)
    finished = train(trainer, limits, load_images(places.validation, scale))
    if finished:
        path = weights_path(model, scale)
        save_weights(trainer.average, path, recipe.store)
        _write_log(path.with_suffix(".json"), trainer, places, start)
        trainer.checkpoint.unlink()
    return finished


def _begin(trainer: Trainer, start: Start) -> None:
    trainee = trainer.trainee
    if start.warm:
        load_weights(trainee.network, weights_path(trainee.name, trainee.scale))
        trainer.restart_average()
        return
    if start.from_scale is not None:
        body = weights_path(trainee.name, start.from_scale)
        new = load_weights(trainee.network, body, matching=True)
        print(f"{trainee.name} x{trainee.scale}: new tensors {', '.join(new)}")
    error = trainer.initialise(body=start.from_scale is None)
    print(
        f"{trainee.name} x{trainee.scale}: starts at {-10 * torch.tensor(error).log10():.2f} dB on patches", flush=True
    )


def _write_log(path: Path, trainer: Trainer, places: Places, start: Start) -> None:
    """Write the log; after a warm start, the logs of previous rounds are kept under ``earlier``."""
    earlier = []
    if start.warm and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        earlier = [*before.pop("earlier", []), before]
    log = _log(trainer, places) | {"rounds": len(earlier) + 1, "from_scale": start.from_scale, "earlier": earlier}
    path.write_text(json.dumps(log, separators=(",", ":")).replace("],[", "],\n[") + "\n", encoding="utf-8")


def _log(trainer: Trainer, places: Places) -> dict[str, object]:
    done, trainee = trainer.progress, trainer.trainee
    return {
        "model": trainee.name,
        "scale": trainee.scale,
        "data": {
            "images": len({pair.name.split("/")[0] for pair in trainer.source.pairs}),
            "pairs": len(trainer.source.pairs),
            "shrink": list(places.shrink),
            "fingerprint": trainer.source.fingerprint,
            "degradation": "ntire23",
        },
        "recipe": trainer.recipe.model_dump(),
        "steps": done.step,
        "wall_time_s": round(done.seconds),
        "validation": {"dataset": "Kodak24", "psnr_rgb_db": round(done.curve[-1][3], 4)},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "curve": [[step, round(share, 4), round(loss, 6), round(psnr, 4)] for step, share, loss, psnr in done.curve],
    }


def describe(trainee: Trainee, source: PatchSource) -> str:
    """Return a one-line summary of network and data."""
    count = sum(value.numel() for value in trainee.network.parameters())
    return f"{trainee.name} x{trainee.scale}: {count:,} parameters, {len(source.pairs)} image pairs"
