"""The recipe on two small images: it learns, resumes exactly, and costs what the inference form costs."""

import json
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.collapse import collapse, equivalent_kernel, is_collapsible
from training.evaluate import bicubic
from training.initialisation import find_tail
from training.loop import Limits, Trainer, train
from training.network import SUBMISSIONS, Trainee, load_trainee, load_weights, save_weights
from training.patches import PatchSource, open_patches
from training.recipe import Recipe, read_recipe
from training.run import Places, Start, run
from training.validation import load_images

RECIPE = Recipe(
    steps=24, batch=4, patch=24, lr=1e-3, warmup=2, ema=0.9, validations=2, fit_tail=20, exact_from=0.0, l2_from=1.0
)
SCALES = {
    path.parent.name: tomllib.loads(path.read_text())["submission"]["scales"]
    for path in sorted(SUBMISSIONS.glob("*/submission.toml"))
}


def drawing(seed: int, side: int = 192) -> Image.Image:
    """Draw discs and bars with sharp edges on a gradient."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    image = np.stack([x, y, x + y], axis=2) * (255.0 / (2 * side))
    for _ in range(40):
        top, left, radius = (int(rng.integers(low, high)) for low, high in ((0, side), (0, side), (3, 25)))
        inside = (y - top) ** 2 + (x - left) ** 2 < radius**2 if rng.random() < 0.5 else abs(x - y + top - left) < 3
        image[inside] = rng.integers(0, 256, 3)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small work is slower on two threads than on one as soon as anything else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hr")
    for seed in (1, 2):
        drawing(seed).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def source(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> PatchSource:
    return open_patches(photographs, 2, (1.0,), tmp_path_factory.mktemp("cache"))


def lrsrn(scale: int = 2) -> Trainee:
    torch.manual_seed(5)
    return load_trainee("LRSRN", scale)


def test_a_few_steps_lower_the_loss_and_raise_psnr(source, photographs, tmp_path) -> None:
    recipe = RECIPE.model_copy(update={"steps": 40})
    trainer = Trainer(lrsrn(), recipe, source, tmp_path / "state.pt")
    trainer.initialise(body=True)
    images = load_images(photographs, 2)
    assert train(trainer, Limits(), images)
    (_, _, loss_first, psnr_first), (_, _, loss_last, psnr_last) = trainer.progress.curve
    assert loss_last < loss_first
    assert psnr_last > psnr_first


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(source, photographs, tmp_path) -> None:
    images = load_images(photographs, 2)
    whole = Trainer(lrsrn(), RECIPE, source, tmp_path / "whole.pt")
    whole.initialise(body=True)
    assert train(whole, Limits(), images)

    first = Trainer(lrsrn(), RECIPE, source, tmp_path / "parts.pt")
    first.initialise(body=True)
    assert not train(first, Limits(stop_after=11), images)
    second = Trainer(lrsrn(), RECIPE, source, tmp_path / "parts.pt")
    assert second.resume()
    assert second.progress.step == 11
    assert train(second, Limits(), images)
    for name, value in whole.average.items():
        assert torch.equal(value, second.average[name]), name


def test_patches_of_low_and_high_resolution_show_the_same_place(source) -> None:
    lr, hr = source.batch(seed=0, step=3, count=8, patch=24)
    assert lr.shape == (8, 24, 24, 3)
    assert hr.shape == (8, 48, 48, 3)
    means = hr.reshape(8, 24, 2, 24, 2, 3).mean(axis=(2, 4, 5))
    grey = lr.mean(axis=3)
    wrong = (means[:, ::-1], means[:, :, ::-1], means.transpose(0, 2, 1), np.roll(means, 1, axis=1))
    assert all(np.abs(means - grey).mean() < 0.5 * np.abs(other - grey).mean() for other in wrong)


def test_batches_depend_on_seed_and_step_alone(source) -> None:
    again = source.batch(0, 3, 4, 16)
    assert all(np.array_equal(a, b) for a, b in zip(source.batch(0, 3, 4, 16), again, strict=True))
    assert not np.array_equal(source.batch(0, 4, 4, 16)[0], again[0])
    assert not np.array_equal(source.batch(1, 3, 4, 16)[0], again[0])


@pytest.mark.parametrize("model", SCALES)
def test_collapsed_training_form_equals_the_plain_one(model: str) -> None:
    scale = SCALES[model][0]
    trainee = load_trainee(model, scale)
    trainee.network.eval()
    x = torch.rand(1, 3, 24, 36)
    with torch.no_grad():
        plain = trainee.upscale(x)
        blocks = collapse(trainee.network)
        assert torch.allclose(trainee.upscale(x), plain, atol=2e-5)
    assert bool(blocks) == any(is_collapsible(module) for module in trainee.network.modules())


def test_gradients_reach_every_parameter_through_the_collapse() -> None:
    trainee = lrsrn(3)
    collapse(trainee.network)
    trainee.upscale(torch.rand(1, 3, 12, 12)).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in trainee.network.parameters())


def test_the_tail_is_the_layer_that_runs_last() -> None:
    trainee = lrsrn(3)
    collapse(trainee.network)
    tail = find_tail(trainee.network, trainee.upscale, torch.rand(1, 3, 8, 8))
    assert equivalent_kernel(tail)[0].shape[0] == 27


def test_weights_survive_storing_and_a_body_moves_to_another_scale(tmp_path) -> None:
    two = lrsrn(2)
    save_weights(two.network.state_dict(), tmp_path / "x2.safetensors", "float32")
    again = lrsrn(2)
    assert load_weights(again.network, tmp_path / "x2.safetensors") == []
    for name, value in two.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name])
    three = lrsrn(3)
    fresh = load_weights(three.network, tmp_path / "x2.safetensors", matching=True)
    body = {name for name in two.network.state_dict() if name.startswith("body")}
    assert body
    assert not body & set(fresh)


def test_half_precision_halves_the_file(tmp_path) -> None:
    weights = lrsrn().network.state_dict()
    save_weights(weights, tmp_path / "whole.safetensors", "float32")
    save_weights(weights, tmp_path / "half.safetensors", "float16")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.55 * (tmp_path / "whole.safetensors").stat().st_size


def test_a_run_leaves_weights_and_log_and_no_checkpoint(photographs, tmp_path, monkeypatch) -> None:
    import training.run as runs

    zoo = tmp_path / "submissions"
    monkeypatch.setattr(runs, "weights_path", lambda model, scale: zoo / model / f"x{scale}.safetensors")
    places = Places(hr=photographs, validation=photographs, cache=tmp_path, state=tmp_path / "state", threads=1)
    recipe = RECIPE.model_copy(update={"steps": 4})
    for rounds in (1, 2):
        assert run("LRSRN", 2, recipe, places, Limits(), Start(warm=rounds == 2))
        log = json.loads((zoo / "LRSRN" / "x2.json").read_text())
        assert log["rounds"] == rounds
    assert log["steps"] == 4
    assert log["data"]["images"] == 2
    assert len(log["earlier"]) == 1
    assert not list((tmp_path / "state").iterdir())
    assert not load_weights(lrsrn().network, zoo / "LRSRN" / "x2.safetensors")


@pytest.mark.parametrize("model", [model for model, scales in SCALES.items() if 2 in scales])
def test_every_model_starts_close_to_bicubic_or_above(model: str, source: PatchSource, tmp_path) -> None:
    torch.manual_seed(5)
    recipe = read_recipe(model, 2, batch=4, patch=36)
    trainer = Trainer(load_trainee(model, 2), recipe, source, tmp_path / "state.pt")
    error = trainer.initialise(body=True)
    lr, hr = (torch.from_numpy(part).permute(0, 3, 1, 2) / 255.0 for part in source.batch(9, 9, 16, 36))
    reference = float((bicubic(2)(lr) - hr).square().mean())
    assert error < 1.6 * reference


def test_an_image_passes_through_norms(source: PatchSource, tmp_path) -> None:
    errors = {}
    for body in (True, False):
        torch.manual_seed(5)
        recipe = read_recipe("RT4KSR", 2, batch=4, patch=36, fit_tail=60)
        trainer = Trainer(load_trainee("RT4KSR", 2), recipe, source, tmp_path / "state.pt")
        errors[body] = trainer.initialise(body=body)
    assert errors[True] < errors[False] / 2


def test_a_run_sleeps_while_the_pause_file_exists(source, photographs, tmp_path, monkeypatch) -> None:
    pause = tmp_path / "pause"
    pause.touch()
    naps = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            pause.unlink()

    monkeypatch.setattr("training.loop.time.sleep", nap)
    trainer = Trainer(lrsrn(), RECIPE.model_copy(update={"steps": 2}), source, tmp_path / "state.pt")
    assert train(trainer, Limits(pause_file=pause), load_images(photographs, 2))
    assert len(naps) == 3


def test_a_request_to_stop_leaves_a_checkpoint(source, photographs, tmp_path, monkeypatch) -> None:
    trainer = Trainer(lrsrn(), RECIPE, source, tmp_path / "state.pt")
    step = trainer.step

    def stopped_at_three(share: float) -> float:
        if trainer.progress.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return step(share)

    monkeypatch.setattr(trainer, "step", stopped_at_three)
    assert not train(trainer, Limits(), load_images(photographs, 2))
    again = Trainer(lrsrn(), RECIPE, source, tmp_path / "state.pt")
    assert again.resume()
    assert again.progress.step == 3


def test_the_gradient_of_a_step_is_bounded(source, tmp_path) -> None:
    trainer = Trainer(lrsrn(), RECIPE.model_copy(update={"clip": 1e-3}), source, tmp_path / "state.pt")
    trainer.step(0.0)
    slopes = [value.grad.norm() for value in trainer.trainee.network.parameters() if value.grad is not None]
    assert float(torch.stack(slopes).norm()) == pytest.approx(1e-3, rel=1e-3)
