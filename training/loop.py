"""Training loop of one model, from step 0 or the last checkpoint to the end of the schedule."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from training.collapse import collapse
from training.initialisation import add_identities, find_tail, fit_tail, initialise_norms
from training.network import Trainee
from training.patches import PatchSource
from training.recipe import Recipe, learning_rate
from training.validation import TestImage, mean_psnr

FIT_SEED_STEP = 2**31  # larger than any step, so that the fit of the tail uses patches of its own
FIT_BATCHES = 2
PAUSE_POLL_S = 5.0
ANNEAL_FROM = 0.8  # share of the schedule at which the final phase begins; training may skip to it
FLAT_SHARE = 0.2  # share of the schedule over which the validation curve must be flat


@dataclass(slots=True)
class Progress:
    """Progress of a training run; stored in the checkpoint.

    Attributes
    ----------
    step
        Number of optimizer steps.
    seconds
        Wall time of training in seconds, without pauses.
    skipped
        Share of the schedule that was skipped because the validation curve was flat.
    curve
        Rows of step, progress in [0, 1], mean loss since the previous row, and validation PSNR in dB.
    """

    step: int = 0
    seconds: float = 0.0
    skipped: float = 0.0
    curve: list[tuple[int, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    """Conditions besides the recipe that end or interrupt a run.

    Attributes
    ----------
    seconds
        Training time after which the schedule ends. The learning rate follows the larger of elapsed steps and time, so
        that it decays completely on a slow machine, too. If None, it follows the steps and a run is reproducible.
    pause_file
        Training pauses while this file exists.
    checkpoint_every_s
        Time between checkpoints in seconds.
    stop_after
        Step after which the run is interrupted.
    """

    seconds: float | None = None
    pause_file: Path | None = None
    checkpoint_every_s: float = 120.0
    stop_after: int | None = None


class Trainer:
    """Network, optimizer and moving average of the weights, with the training step that updates them.

    Parameters
    ----------
    trainee
        The network; its reparameterizable blocks are collapsed in place.
    recipe
        Hyperparameters.
    source
        Pairs of LR and HR images.
    checkpoint
        File of the resumable state.
    """

    def __init__(self, trainee: Trainee, recipe: Recipe, source: PatchSource, checkpoint: Path) -> None:
        self.trainee = trainee
        self.recipe = recipe
        self.source = source
        self.checkpoint = checkpoint
        self.progress = Progress()
        collapse(trainee.network)
        self.optimiser = torch.optim.Adam(self._groups(), lr=recipe.lr, fused=True)
        self.average = {name: value.detach().clone() for name, value in trainee.network.state_dict().items()}

    def initialise(self, *, body: bool) -> float:
        """Initialize the network as an interpolation; return its mean squared error on patches in [0, 1].

        If ``body`` is False, the body is already trained and only the tail is initialized.
        """
        torch.manual_seed(self.recipe.seed)
        recipe = self.recipe
        count = FIT_BATCHES * recipe.batch
        lr, hr = self._tensors(*self.source.batch(recipe.seed, FIT_SEED_STEP, count, recipe.patch))
        tail = find_tail(self.trainee.network, self.trainee.upscale, lr[:1])
        if body and recipe.near_identity:
            add_identities(self.trainee.network, tail)
            initialise_norms(self.trainee.network)
        error = fit_tail(tail, self.trainee.upscale, lr, hr, recipe.fit_tail)
        self.restart_average()
        return error

    def restart_average(self) -> None:
        """Reset the moving average to the current weights."""
        self.average = {name: value.detach().clone() for name, value in self.trainee.network.state_dict().items()}

    def step(self, share: float) -> float:
        """Perform one step at ``share`` of the schedule and return the mean absolute error."""
        recipe = self.recipe
        patches = self.source.batch(recipe.seed, self.progress.step, recipe.batch, recipe.patch)
        lr, hr = self._tensors(*patches)
        for group in self.optimiser.param_groups:
            group["lr"] = group.get("share", 1.0) * learning_rate(recipe, self.progress.step, share)
        # bfloat16 is faster, but its rounding errors limit the accuracy that the last steps can reach.
        with torch.autocast("cpu", torch.bfloat16, enabled=share < recipe.exact_from):
            sr = self.trainee.upscale(lr)
        error = sr - hr
        # PSNR is a function of the L2 error; L1 before is less sensitive to outliers.
        loss = error.abs().mean() if share < recipe.l2_from else error.square().mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trainee.network.parameters(), recipe.clip)
        self.optimiser.step()
        self._update_average()
        self.progress.step += 1
        return float(error.detach().abs().mean())

    def _groups(self) -> list[dict[str, Any]]:
        """Return parameter groups with their share of the learning rate; the last layer may have its own share."""
        if self.recipe.tail_lr == 1.0:
            return [{"params": list(self.trainee.network.parameters()), "share": 1.0}]
        example = torch.zeros(1, 3, self.recipe.patch, self.recipe.patch)
        tail = {id(value) for value in find_tail(self.trainee.network, self.trainee.upscale, example).parameters()}
        body = [value for value in self.trainee.network.parameters() if id(value) not in tail]
        last = [value for value in self.trainee.network.parameters() if id(value) in tail]
        return [{"params": body, "share": 1.0}, {"params": last, "share": self.recipe.tail_lr}]

    def _update_average(self) -> None:
        """Update the moving average; the decay is smaller in early steps, to forget the initial weights."""
        decay = min(self.recipe.ema, (1 + self.progress.step) / (10 + self.progress.step))
        state = self.trainee.network.state_dict()
        # Integer buffers, such as counters, are not averaged. The fused update avoids a loop over small tensors.
        moving = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[name] for name in moving], [state[name] for name in moving], 1.0 - decay)

    def _tensors(self, lr: npt.NDArray[np.uint8], hr: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Return tensors of shape (N, 3, h, w) in [0, 1], in the channels-last memory format of the arrays."""
        as_floats = (torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255.0) for images in (lr, hr))
        low, high = as_floats
        return low, high

    def validate(self, images: list[TestImage]) -> float:
        """Return the mean RGB PSNR in dB of the averaged weights."""
        with self.averaged():
            return mean_psnr(self.trainee.upscale, images)

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """Use the averaged weights within the context, in eval mode, and restore the current weights afterwards."""
        network = self.trainee.network
        live = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.average)
        network.eval()
        try:
            yield network
        finally:
            network.load_state_dict(live)
            network.train()

    def save(self) -> None:
        """Write the resumable state atomically, by renaming a temporary file."""
        done = self.progress
        state: dict[str, Any] = {
            "network": self.trainee.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "progress": [done.step, done.seconds, done.skipped, done.curve],
            "recipe": self.recipe.model_dump(),
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def resume(self) -> bool:
        """Restore the stored state; return False if there is none."""
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.trainee.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        step, seconds, skipped, curve = state["progress"]
        self.progress = Progress(step, seconds, skipped, [tuple(row) for row in curve])
        return True


class Interruption:
    """Record SIGINT and SIGTERM within the context, so that a run can stop between two steps."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "Interruption":
        self._before = [signal.signal(kind, self._remember) for kind in (signal.SIGINT, signal.SIGTERM)]
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in zip((signal.SIGINT, signal.SIGTERM), self._before, strict=True):
            signal.signal(kind, handler)

    def _remember(self, _signal: int, _frame: FrameType | None) -> None:
        self.requested = True


def train(trainer: Trainer, limits: Limits, images: list[TestImage]) -> bool:
    """Train until the schedule ends or the run is interrupted; return whether the schedule ended.

    If the validation curve is flat for a fifth of the schedule, training skips to the final annealing phase. It does
    not stop at once because weights improve considerably while the learning rate decays.
    """
    recipe, done = trainer.recipe, trainer.progress
    losses: list[float] = []
    saved = time.monotonic()
    with Interruption() as interruption:
        share = share_done(done, recipe, limits)
        while share < 1.0:
            began = time.monotonic()
            losses.append(trainer.step(share))
            done.seconds += time.monotonic() - began
            share = share_done(done, recipe, limits)
            if share >= 1.0 or validation_due(done, recipe, share):
                _validate(trainer, images, losses, share)
                done.skipped += share_to_skip(done, recipe, share)
            if time.monotonic() - saved > limits.checkpoint_every_s:
                trainer.save()
                saved = time.monotonic()
            # Stop only between steps, so that the checkpoint is consistent.
            if interruption.requested or done.step == limits.stop_after:
                break
            _pause(limits.pause_file, interruption)
    trainer.save()
    return share >= 1.0


def share_done(done: Progress, recipe: Recipe, limits: Limits) -> float:
    """Return the completed share of the schedule, by steps or by time, whichever is larger, plus the skipped share."""
    share = done.step / recipe.steps
    if limits.seconds is not None:
        share = max(share, done.seconds / limits.seconds)
    return share + done.skipped


def validation_due(done: Progress, recipe: Recipe, share: float) -> bool:
    """Return whether the next validation is due."""
    last = done.curve[-1][1] if done.curve else 0.0
    return int(share * recipe.validations) > int(last * recipe.validations)


def share_to_skip(done: Progress, recipe: Recipe, share: float) -> float:
    """Return the share of the schedule to skip: up to the annealing phase if the validation curve is flat, else 0."""
    # Compare the best value of the last fifth with the best value before, which is robust to noise of single values.
    before = share - FLAT_SHARE + 1e-9
    recent = [psnr for _, at, _, psnr in done.curve if at > before]
    earlier = [psnr for _, at, _, psnr in done.curve if at <= before]
    if share >= ANNEAL_FROM or not earlier or max(recent) > max(earlier) + recipe.flat_db:
        return 0.0
    return ANNEAL_FROM - share


def _validate(trainer: Trainer, images: list[TestImage], losses: list[float], share: float) -> None:
    done = trainer.progress
    psnr = trainer.validate(images)
    loss = float(np.mean(losses))
    losses.clear()
    done.curve.append((done.step, share, loss, psnr))
    rate = done.step / max(done.seconds, 1e-9)
    print(
        f"{trainer.trainee.name} x{trainer.trainee.scale}  step {done.step}  {share:5.1%}  "
        f"loss {255 * loss:.3f}/255  validation {psnr:.3f} dB  {rate:.1f} steps/s",
        flush=True,
    )


def _pause(pause_file: Path | None, interruption: Interruption) -> None:
    while pause_file is not None and pause_file.exists() and not interruption.requested:
        time.sleep(PAUSE_POLL_S)
