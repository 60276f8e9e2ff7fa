"""``harness.psnr``, ``harness.ssim`` and the metrics with a state, against scikit-image and ``harness quality``."""

import math
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import harness
from harness.errors import DataError, UsageError
from harness.quality import average, score_folders
from harness.quality.folders import ImageScore

Bytes = NDArray[np.uint8]


def noise(seed: int, *shape: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


SR, HR = noise(0, 3, 20, 24, 3), noise(1, 3, 20, 24, 3)


def forms(images: Bytes) -> list[object]:
    """Return a batch in every form that stands for the same images."""
    first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    unit = first.astype(np.float32) / 255
    return [images, first, unit, unit.astype(np.float64), *(torch.from_numpy(one) for one in (images, first, unit))]


@pytest.mark.parametrize("index", range(7))
def test_every_form_of_a_batch_gives_the_figures_of_scikit_image(index: int) -> None:
    sr, hr = forms(SR)[index], forms(HR)[index]
    psnrs, ssims = harness.psnr(sr, hr), harness.ssim(sr, hr)
    for image in range(3):
        expected = peak_signal_noise_ratio(HR[image], SR[image])
        assert psnrs[image] == pytest.approx(expected, abs=1e-9)
        gaussian = structural_similarity(
            HR[image], SR[image], channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            truncate=3.5, full=True, data_range=255,
        )[1]  # fmt: skip
        assert ssims[image] == pytest.approx(gaussian[5:-5, 5:-5].mean(), abs=1e-9)
        single = harness.psnr(sr[image], hr[image])  # type: ignore[index]
        assert isinstance(single, float)
        assert single == psnrs[image]


def test_images_that_torch_does_not_take_are_copied() -> None:
    unit, other = np.float32(SR) / 255, np.float32(HR) / 255
    expected = harness.psnr(SR, HR).tolist()
    for image in (unit.astype(">f4"), unit.astype(np.longdouble), unit[:, ::-1][:, ::-1]):
        image.flags.writeable = False
        assert harness.psnr(image, other).tolist() == expected
    learned = torch.from_numpy(unit).permute(0, 3, 1, 2).requires_grad_()
    assert harness.psnr(learned, other.transpose(0, 3, 1, 2)).tolist() == expected
    assert learned.grad is None


def test_the_convention_decides_luma_and_border() -> None:
    inner = np.s_[:, 4:-4, 4:-4]
    assert harness.psnr(SR, HR, convention="ntire-esr")[0] == harness.psnr(SR[inner], HR[inner])[0]
    swapped = harness.psnr(SR[..., ::-1], HR[..., ::-1], colour="y")
    assert harness.psnr(SR, HR, convention="ntire23", colour="y") == pytest.approx(swapped, abs=1e-4)
    with pytest.raises(UsageError, match="as wide as the scale"):
        harness.psnr(SR, HR, convention="matlab")


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_a_batch_is_its_images(seed: int, count: int) -> None:
    sr, hr = noise(seed, count, 3, 12, 13), noise(seed + 1, count, 3, 12, 13)
    assert list(harness.ssim(sr, hr)) == [harness.ssim(one, other) for one, other in zip(sr, hr, strict=True)]


def test_equal_images_are_infinitely_good() -> None:
    assert harness.psnr(SR, SR).tolist() == [math.inf] * 3
    assert harness.ssim(SR, SR).tolist() == [1.0] * 3
    grey = noise(2, 2, 1, 16, 16)
    assert harness.psnr(grey, 255 - grey) == pytest.approx(
        [peak_signal_noise_ratio(image, 255 - image) for image in grey]
    )


@pytest.mark.parametrize(
    ("sr", "hr", "message"),
    [
        (SR, HR[:2], "SR has shape"),
        (SR.astype(np.int32), HR.astype(np.int32), "int32"),
        (SR[..., :2], HR[..., :2], "without 1 or 3 channels"),
        (np.float32(SR), np.float32(HR), "Divide it by 255"),
        (np.full((8, 8), np.nan), np.zeros((8, 8)), "not finite"),
        (SR[:0], HR[:0], "shape"),
        (SR[None], HR[None], "shape"),
    ],
)
def test_what_is_no_image_is_refused(sr: Bytes, hr: Bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        harness.psnr(sr, hr)


def write(folder: Path, images: Bytes) -> Path:
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


@pytest.mark.parametrize("convention", ["harness", "lrsrn", "ntire-esr"])
def test_metrics_agree_with_the_command_on_folders(tmp_path: Path, convention: str) -> None:
    folders = write(tmp_path / "sr", SR), write(tmp_path / "hr", HR)
    rows = [row for row in score_folders(*folders, convention) if isinstance(row, ImageScore)]
    expected = average([row.quality for row in rows], convention)
    for colour in ("rgb", "y"):
        psnr, ssim = harness.PSNR(convention, colour), harness.SSIM(convention, colour)
        for batch in (slice(0, 2), slice(2, 3)):
            tensors = [torch.from_numpy(images[batch]).permute(0, 3, 1, 2) for images in (SR, HR)]
            psnr.update(*tensors)
            ssim(*tensors)
        assert psnr.compute() == pytest.approx(getattr(expected, f"psnr_{colour}"), abs=1e-9)
        assert ssim.compute() == pytest.approx(getattr(expected, f"ssim_{colour}"), abs=1e-9)
        psnr.reset()
        with pytest.raises(UsageError, match="no images"):
            psnr.compute()


def _process(rank: int, port: int, results: object) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        psnr, ssim = harness.PSNR(), harness.SSIM(colour="y")
        own = slice(0, 1) if rank == 0 else slice(1, 3)  # unequal shares
        psnr.update(SR[own], HR[own])
        ssim.update(SR[own], HR[own])
        results.put((psnr.compute(), ssim.compute()))  # type: ignore[attr-defined]
    finally:
        torch.distributed.destroy_process_group()


def test_two_processes_compute_the_mean_over_all_images() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    torch.multiprocessing.spawn(_process, (port, results), nprocs=2)
    expected = float(np.mean(harness.psnr(SR, HR))), float(np.mean(harness.ssim(SR, HR, colour="y")))
    for _ in range(2):
        assert results.get() == pytest.approx(expected, abs=1e-9)
