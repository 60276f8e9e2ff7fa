"""Networks that hold the scored images are disqualified; networks that have learned to upscale are not.

The folders ``recalls_*`` of the zoo are run with all others, in ``tests/isolation/test_zoo_run.py``.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data import Dataset, get_degradation, write_png
from harness.data.datasets import Storage
from harness.data.degradation import degrade
from harness.errors import DISQUALIFIED, WorkerError
from harness.results.measurement import ImageQuality
from harness.run.recall_check import RecallCheck, doubts, highest_psnr

Pixels = np.ndarray
Upscale = Callable[[int, Pixels], Pixels]


def natural(seed: int, height: int = 192, width: int = 256) -> Pixels:
    """Return an image whose spectrum falls as that of photographs does, with a little noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    spectrum = 1 / np.maximum(np.hypot(rows, columns), 1 / width) ** 1.3
    channels = []
    for _ in range(3):
        wave = np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) * spectrum).real
        channels.append(128 + 45 * wave / wave.std() + rng.normal(size=wave.shape))
    return np.clip(np.rint(np.stack(channels, -1)), 0, 255).astype(np.uint8)


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Dataset]:
    def make(degradation: str = "ntire23", *, given: bool = False, scale: int = 2, shape: tuple[int, int] = (192, 256)):
        chosen = get_degradation(degradation)
        for index in range(6):
            hr = natural(index, *shape)
            write_png(tmp_path / "hr" / f"{index}.png", hr)
            write_png(tmp_path / "lr" / f"{index}.png", degrade(hr, scale, chosen))
        paths = {kind: sorted((tmp_path / kind).iterdir()) for kind in ("hr", "lr")}
        storage = Storage(tmp_path / "cache", 10**9)
        return Dataset("natural", paths["hr"], scale, chosen, lr_paths=paths["lr"] if given else None, storage=storage)

    return make


def lanczos(_index: int, lr: Pixels, scale: int = 2) -> Pixels:
    size = (scale * lr.shape[1], scale * lr.shape[0])
    return np.array(Image.fromarray(lr).resize(size, Image.Resampling.LANCZOS))


def nearest(_index: int, lr: Pixels) -> Pixels:
    return lr.repeat(2, 0).repeat(2, 1)


def judged(images: Dataset, upscale: Upscale, seed: int = 0) -> RecallCheck:
    """Carry out the whole check with PSNRs that are not conspicuous."""
    check = RecallCheck(images, rng=np.random.default_rng(seed))
    watched = check.watched(upscale)
    for index in range(len(images)):
        assert np.array_equal(watched(index, images.pair(index)[0]), upscale(index, images.pair(index)[0]))
    figures = check.judge(qualities([30.0] * len(images)), upscale)
    assert doubts(figures) == []
    return check


def qualities(psnrs: list[float]) -> list[ImageQuality]:
    return [ImageQuality(image=str(i), psnr_rgb=p, psnr_y=p, ssim_rgb=1, ssim_y=1) for i, p in enumerate(psnrs)]


def recalling(images: Dataset, share: float) -> Upscale:
    """Return a network that mixes the truth into the images that it knows by their whole LR images."""
    pairs = [images.pair(index) for index in range(len(images))]

    def upscale(index: int, lr: Pixels) -> Pixels:
        guess = lanczos(index, lr, images.scale)
        for known, truth in pairs:
            if np.array_equal(known, lr):
                return np.rint(share * truth + (1.0 - share) * guess).astype(np.uint8)
        return guess

    return upscale


@pytest.mark.parametrize("upscale", [lanczos, nearest])
@pytest.mark.parametrize("degradation", ["ntire23", "bicubic"])
def test_honest_interpolation_is_not_disqualified(dataset, degradation: str, upscale: Upscale) -> None:
    images = dataset(degradation)
    drops = [gain.drop for seed in range(3) for gain in judged(images, upscale, seed)._gains]
    assert len(drops) >= 3
    assert max(map(abs, drops)) < 0.6  # a single drop of 6 dB disqualifies, and a mean of 1 dB


@pytest.mark.parametrize(("share", "message"), [(1.0, "knows the images"), (0.5, "knows"), (0.25, "knows")])
@pytest.mark.parametrize("given", [False, True])
def test_recalled_images_are(dataset, share: float, message: str, given: bool) -> None:
    images = dataset(given=given)
    for seed in range(2):
        with pytest.raises(WorkerError, match=message) as caught:
            judged(images, recalling(images, share), seed)
        assert caught.value.kind == DISQUALIFIED
        assert caught.value.stage == "upscale"


def test_one_image_recalled_of_all_is_found_where_it_is_drawn(dataset) -> None:
    images = dataset()
    known = recalling(images, 1.0)
    check = RecallCheck(images)
    check._chosen = frozenset({2})
    upscale = lambda index, lr: known(index, lr) if index == 2 else lanczos(index, lr)  # noqa: E731
    check.watched(upscale)(2, images.pair(2)[0])
    with pytest.raises(WorkerError, match="knows"):
        check.judge(qualities([30.0] * 6), upscale)


def test_a_suspicion_that_is_not_confirmed_is_a_note(dataset) -> None:
    images = dataset()
    check = RecallCheck(images, rng=np.random.default_rng(0))
    watched = check.watched(recalling(images, 1.0))
    for index in range(6):
        watched(index, images.pair(index)[0])
    figures = check.judge(qualities([30.0] * 6), lanczos)
    assert figures.gain_db > figures.variant_gain_db + 1
    assert "may know the images" in doubts(figures)[0]


def test_the_variants_cost_one_twentieth_and_have_the_sizes_that_the_network_takes(dataset) -> None:
    images = dataset(shape=(480, 640))
    check = RecallCheck(images, size_multiple=24)
    seen: list[tuple[int, ...]] = []

    def upscale(_index: int, lr: Pixels) -> Pixels:
        seen.append(lr.shape)
        return nearest(0, lr)

    watched = check.watched(upscale)
    for index in range(6):
        watched(index, images.pair(index)[0])
    variants = [shape for shape in seen if shape != (240, 320, 3)]
    assert sum(height * width for height, width, _ in variants) <= 0.05 * 6 * 240 * 320
    assert len(variants) == 5
    assert all(side % 48 == 0 for shape in variants for side in shape[:2])


@pytest.mark.parametrize(("scale", "shape"), [(2, (40, 60)), (3, (60, 96)), (4, (96, 96))])
def test_small_images_and_other_scales(dataset, scale: int, shape: tuple[int, int]) -> None:
    images = dataset(scale=scale, shape=shape)
    check = judged(images, lambda index, lr: lanczos(index, lr, scale))
    assert len(check._gains) <= 1


@pytest.mark.parametrize("shape", [(2, 2), (16, 96), (32, 48), (48, 200)])
def test_tiny_images_are_not_judged(dataset, shape: tuple[int, int]) -> None:
    images = dataset(shape=shape)
    figures = RecallCheck(images).judge(qualities([30.0] * 6), nearest)
    assert judged(images, recalling(images, 1.0))._gains == []
    assert (figures.variants, figures.gain_db) == (0, None)


def test_images_without_detail_are_not_judged(tmp_path: Path) -> None:
    write_png(tmp_path / "hr" / "flat.png", np.full((128, 128, 3), 90, np.uint8))
    images = Dataset("flat", [tmp_path / "hr" / "flat.png"], 2, get_degradation("bicubic"), storage=Storage(tmp_path))
    check = judged(images, nearest)
    assert check._gains == []
    assert highest_psnr(images.pair(0)[1], 2) == math.inf


def test_the_bound_is_that_of_the_noise() -> None:
    rng = np.random.default_rng(0)
    for deviation in (2.0, 8.0):
        noise = np.clip(np.rint(128 + deviation * rng.normal(size=(512, 512, 3))), 0, 255).astype(np.uint8)
        expected = 10 * math.log10(255**2 / (0.75 * deviation**2)) + 10
        assert highest_psnr(noise, 2) == pytest.approx(expected, abs=0.5)
    edges = np.kron(np.indices((32, 32)).sum(0) % 2, np.ones((16, 16)))[..., None].repeat(3, 2) * 255
    assert highest_psnr(edges.astype(np.uint8), 2) == math.inf


def test_an_image_above_the_bound_is_disqualified(dataset) -> None:
    images = dataset()
    with pytest.raises(WorkerError, match=r"image 4 reaches 100\.0 dB"):
        RecallCheck(images).judge(qualities([30, 30, 30, 30, 100, 30]), lanczos)


def test_published_test_sets_allow_what_networks_reach(shared: Path) -> None:
    """The best published network (HAT-L) gains 5 dB over bicubic on Set5 x2, and no more than 10 dB on any set."""
    for path in sorted((shared / "data" / "Set5").rglob("*.png"))[:5]:
        hr = np.array(Image.open(path).convert("RGB"))
        hr = hr[: hr.shape[0] // 2 * 2, : hr.shape[1] // 2 * 2]
        lr = degrade(hr, 2, get_degradation("bicubic"))
        error = np.square(lanczos(0, lr).astype(float) - hr).mean()
        assert highest_psnr(hr, 2) > 10 * math.log10(255**2 / error) + 12
