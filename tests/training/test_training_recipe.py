"""The schedule and the tables that configure it."""

import pytest

from harness.errors import UsageError
from training.loop import ANNEAL_FROM, Limits, Progress, share_done, share_to_skip, validation_due
from training.recipe import CONFIGS, Recipe, learning_rate, read_recipe


def test_cosine_starts_at_the_peak_and_ends_at_the_end() -> None:
    recipe = Recipe(lr=1e-3, lr_end=1e-6, warmup=10)
    assert learning_rate(recipe, step=0, progress=0.0) == pytest.approx(1e-4)
    assert learning_rate(recipe, step=50, progress=0.0) == pytest.approx(1e-3)
    assert learning_rate(recipe, step=50, progress=0.5) == pytest.approx((1e-3 + 1e-6) / 2)
    assert learning_rate(recipe, step=50, progress=1.0) == pytest.approx(1e-6)
    assert learning_rate(recipe, step=50, progress=1.7) == pytest.approx(1e-6)


def test_every_table_of_the_project_is_valid() -> None:
    import tomllib

    for table in tomllib.loads(CONFIGS.read_text()):
        model, _, scale = table.partition("-x")
        assert read_recipe(model, int(scale or 2)).steps > 0


def test_a_scale_overrides_a_model_overrides_the_defaults(tmp_path) -> None:
    path = tmp_path / "configs.toml"
    path.write_text("[defaults]\nsteps = 1\nbatch = 1\npatch = 1\n[A]\nbatch = 2\npatch = 2\n[A-x3]\npatch = 3\n")
    recipe = read_recipe("A", 3, path=path, seed=7, lr=None)
    assert (recipe.steps, recipe.batch, recipe.patch, recipe.seed) == (1, 2, 3, 7)
    assert read_recipe("A", 2, path=path).patch == 2


def test_an_unknown_key_is_named(tmp_path) -> None:
    path = tmp_path / "configs.toml"
    path.write_text("[A]\nstep = 3\n")
    with pytest.raises(UsageError, match="step"):
        read_recipe("A", 2, path=path)


def test_the_clock_ends_a_schedule_that_steps_do_not() -> None:
    done = Progress(step=10, seconds=30.0)
    recipe = Recipe(steps=100)
    assert share_done(done, recipe, Limits()) == pytest.approx(0.1)
    assert share_done(done, recipe, Limits(seconds=60.0)) == pytest.approx(0.5)
    assert share_done(done, recipe, Limits(seconds=3000.0)) == pytest.approx(0.1)


def test_validations_are_evenly_spaced() -> None:
    recipe = Recipe(steps=100, validations=4)
    done = Progress()
    seen = []
    for step in range(1, 101):
        done.step = step
        if validation_due(done, recipe, step / 100):
            seen.append(step)
            done.curve.append((step, step / 100, 0.0, 0.0))
    assert seen == [25, 50, 75, 100]


def curve(*psnrs: float) -> Progress:
    return Progress(curve=[(step, step / 20, 0.0, psnr) for step, psnr in enumerate(psnrs, start=1)])


def test_a_flat_curve_skips_to_the_annealing() -> None:
    flat = curve(30.0, 31.0, 31.0, 31.0, 31.001, 31.0)
    assert share_to_skip(flat, Recipe(), share=0.3) == pytest.approx(ANNEAL_FROM - 0.3)


def test_a_rising_curve_goes_on() -> None:
    assert share_to_skip(curve(30.0, 31.0, 31.0, 31.0, 31.0, 31.01), Recipe(), share=0.3) == 0.0


def test_a_young_curve_is_not_called_flat() -> None:
    assert share_to_skip(curve(30.0, 30.0, 30.0), Recipe(), share=0.15) == 0.0


def test_the_annealing_itself_is_never_cut_short() -> None:
    assert share_to_skip(curve(*[30.0] * 18), Recipe(), share=0.9) == 0.0
