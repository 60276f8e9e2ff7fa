"""The training loop: one model from step 0, or from its last checkpoint, to its stored weights."""

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
from training.initialisation import carry_past_norms, carry_through, find_tail, fit_tail
from training.network import Trainee
from training.patches import PatchSource
from training.recipe import Recipe, learning_rate
from training.validation import TestImage, mean_psnr

FIT_SEED_STEP = 2**31
FIT_BATCHES = 2
PAUSE_POLL_S = 5.0
ANNEAL_FROM = 0.8
FLAT_SHARE = 0.2


@dataclass(slots=True)
class Progress:
    """Where a run stands; stored with the checkpoint.

    Attributes
    ----------
    seconds
        Wall time spent in training so far, pauses apart.
    skipped
        Share of the schedule that a flat validation curve made superfluous.
    curve
        Rows of step, progress in [0, 1], mean loss since the last row, and validation PSNR in dB.
    """

    step: int = 0
    seconds: float = 0.0
    skipped: float = 0.0
    curve: list[tuple[int, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends or interrupts a run besides its recipe.

    ``seconds`` makes the schedule follow the clock: on a busy machine the learning rate still reaches its end in
    time. Without it the schedule follows the steps alone and a run is reproducible.
    """

    seconds: float | None = None
    pause_file: Path | None = None
    checkpoint_every_s: float = 120.0
    stop_after: int | None = None


class Trainer:
    """One model's training: network, optimiser, moving average, and the step that moves them.

    Parameters
    ----------
    trainee
        The network; its reparameterizable blocks are collapsed in place.
    source
        Pairs of LR and HR images.
    checkpoint
        Where the resumable state is kept.
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

    def initialise(self, *, carry: bool) -> float:
        """Make the network an interpolation; return its mean squared error on patches, values in [0, 1].

        ``carry`` is False where the body is already trained and the tail alone is new.
        """
        torch.manual_seed(self.recipe.seed)
        recipe = self.recipe
        count = FIT_BATCHES * recipe.batch
        lr, hr = self._tensors(*self.source.batch(recipe.seed, FIT_SEED_STEP, count, recipe.patch))
        tail = find_tail(self.trainee.network, self.trainee.upscale, lr[:1])
        if carry and recipe.near_identity:
            carry_through(self.trainee.network, tail)
            carry_past_norms(self.trainee.network)
        error = fit_tail(tail, self.trainee.upscale, lr, hr, recipe.fit_tail)
        self.restart_average()
        return error

    def restart_average(self) -> None:
        """Let the moving average start at the present weights."""
        self.average = {name: value.detach().clone() for name, value in self.trainee.network.state_dict().items()}

    def step(self, share: float) -> float:
        """Take one step at ``share`` of the schedule and return the loss."""
        recipe = self.recipe
        patches = self.source.batch(recipe.seed, self.progress.step, recipe.batch, recipe.patch)
        lr, hr = self._tensors(*patches)
        for group in self.optimiser.param_groups:
            group["lr"] = group.get("share", 1.0) * learning_rate(recipe, self.progress.step, share)
        with torch.autocast("cpu", torch.bfloat16, enabled=share < recipe.exact_from):
            sr = self.trainee.upscale(lr)
        error = sr - hr
        loss = error.abs().mean() if share < recipe.l2_from else error.square().mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trainee.network.parameters(), recipe.clip)
        self.optimiser.step()
        self._follow()
        self.progress.step += 1
        return float(error.detach().abs().mean())

    def _groups(self) -> list[dict[str, Any]]:
        """Return the parameters with their share of the learning rate, those of the last layer apart if it differs."""
        if self.recipe.tail_lr == 1.0:
            return [{"params": list(self.trainee.network.parameters()), "share": 1.0}]
        example = torch.zeros(1, 3, self.recipe.patch, self.recipe.patch)
        tail = {id(value) for value in find_tail(self.trainee.network, self.trainee.upscale, example).parameters()}
        body = [value for value in self.trainee.network.parameters() if id(value) not in tail]
        last = [value for value in self.trainee.network.parameters() if id(value) in tail]
        return [{"params": body, "share": 1.0}, {"params": last, "share": self.recipe.tail_lr}]

    def _follow(self) -> None:
        """Move the average towards the weights; early on it forgets faster, so that the start does not linger."""
        decay = min(self.recipe.ema, (1 + self.progress.step) / (10 + self.progress.step))
        state = self.trainee.network.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[name] for name in moving], [state[name] for name in moving], 1.0 - decay)

    def _tensors(self, lr: npt.NDArray[np.uint8], hr: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Return N x 3 x h x w floats in [0, 1], channels last in memory as the arrays are."""
        as_floats = (torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255.0) for images in (lr, hr))
        low, high = as_floats
        return low, high

    def validate(self, images: list[TestImage]) -> float:
        """Return the mean RGB PSNR in dB of the averaged weights."""
        with self.averaged():
            return mean_psnr(self.trainee.upscale, images)

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """Put the averaged weights into the network for a while."""
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
        """Write the resumable state, under a temporary name first."""
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
        """Take up the stored state, if there is one."""
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
    """Remembers that the process was asked to end, so that a run stops between two steps."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Interruption":
        self._before = [signal.signal(kind, self._remember) for kind in (signal.SIGINT, signal.SIGTERM)]
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in zip((signal.SIGINT, signal.SIGTERM), self._before, strict=True):
            signal.signal(kind, handler)

    def _remember(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True


def train(trainer: Trainer, limits: Limits, images: list[TestImage]) -> bool:
    """Run the schedule to its end; return whether it got there.

    A validation curve that stays flat for a fifth of the schedule skips to the annealing at its end instead of
    stopping dead: weights taken at a high learning rate are worse than what they lead to.
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
            if share >= 1.0 or due(done, recipe, share):
                _validate(trainer, images, losses, share)
                done.skipped += superfluous(done, recipe, share)
            if time.monotonic() - saved > limits.checkpoint_every_s:
                trainer.save()
                saved = time.monotonic()
            if interruption.asked or done.step == limits.stop_after:
                break
            _pause(limits.pause_file, interruption)
    trainer.save()
    return share >= 1.0


def share_done(done: Progress, recipe: Recipe, limits: Limits) -> float:
    """Return the share of the schedule that is over, by steps or by the clock, whichever is further."""
    share = done.step / recipe.steps
    if limits.seconds is not None:
        share = max(share, done.seconds / limits.seconds)
    return share + done.skipped


def due(done: Progress, recipe: Recipe, share: float) -> bool:
    """Tell whether the next validation has come."""
    last = done.curve[-1][1] if done.curve else 0.0
    return int(share * recipe.validations) > int(last * recipe.validations)


def superfluous(done: Progress, recipe: Recipe, share: float) -> float:
    """Return the share of the schedule to skip: up to its annealing, where the curve was flat for a fifth of it."""
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
    while pause_file is not None and pause_file.exists() and not interruption.asked:
        time.sleep(PAUSE_POLL_S)
