"""Decode, inference and metrics overlap, in order, within bounds, and leave nothing running."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from harness.data import Dataset, get_degradation, write_png
from harness.data.datasets import Storage
from harness.run.quality_pass import Upscaled, evaluate

COUNT = 9


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    for index in range(COUNT):
        write_png(tmp_path / "hr" / f"{index}.png", np.full((16, 16, 3), 20 * index, np.uint8))
    paths = sorted((tmp_path / "hr").iterdir())
    return Dataset("flat", paths, 2, get_degradation("bicubic"), storage=Storage(tmp_path / "cache", 0, 0))


@pytest.mark.parametrize("cores", [2, 16])
def test_results_are_those_of_one_after_another(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr("harness.run.quality_pass.available_cores", lambda: cores)
    serial = [(name, int(dataset.pair(index)[1][0, 0, 0])) for index, name in enumerate(dataset.names)]
    kept: list[str] = []

    def measure(image: Upscaled) -> tuple[str, int]:
        time.sleep(0.002 * (int(image.name) % 3))
        assert image.sr[0, 0, 0] == image.hr[0, 0, 0]
        return image.name, int(image.hr[0, 0, 0])

    results = evaluate(dataset, lambda index, lr: lr.repeat(2, 0).repeat(2, 1), measure, lambda i: kept.append(i.name))
    assert results == serial
    assert kept == dataset.names


def test_small_images_are_processed_one_step_after_another_where_cores_are_few(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.run.quality_pass.available_cores", lambda: 2)
    steps: list[str] = []
    original = dataset.pair

    def pair(index: int) -> tuple[np.ndarray, np.ndarray]:
        steps.append("read")
        return original(index)

    def upscale(index: int, lr: np.ndarray) -> np.ndarray:
        steps.append("upscale")
        return lr

    def measure(image: Upscaled) -> int:
        assert threading.current_thread() is threading.main_thread()
        steps.append("measure")
        return len(steps)

    monkeypatch.setattr(dataset, "pair", pair)
    results = evaluate(dataset, upscale, measure, lambda image: steps.append("keep"))
    assert steps == ["read", "upscale", "measure", "keep"] * len(dataset)
    assert results == [4 * index + 3 for index in range(len(dataset))]


@pytest.fixture
def _many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the steps of small images overlap, too."""
    monkeypatch.setattr("harness.run.quality_pass.available_cores", lambda: 16)


@pytest.mark.usefixtures("_many_cores")
def test_an_output_is_measured_while_the_next_is_made(dataset: Dataset) -> None:
    """Would the steps follow one another, the first measurement would wait in vain."""
    second = threading.Event()

    def upscale(index: int, lr: np.ndarray) -> np.ndarray:
        if index == 1:
            second.set()
        return lr

    assert all(evaluate(dataset, upscale, lambda image: second.wait(100)))


@pytest.mark.parametrize("readers", [2, 4])
def test_no_more_than_a_few_images_are_there_at_once(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, readers: int
) -> None:
    monkeypatch.setattr("harness.run.quality_pass.available_cores", lambda: 2 * readers)
    monkeypatch.setattr("harness.run.quality_pass._SMALL_SAMPLES", 0)
    read, measured, most, second = [0], [0], [0], threading.Event()
    original = dataset.pair

    def pair(index: int) -> tuple[np.ndarray, np.ndarray]:
        read[0] += 1
        most[0] = max(most[0], read[0] - measured[0])
        if read[0] == 2:
            second.set()
        return original(index)

    def measure(image: Upscaled) -> None:
        second.wait(100)
        time.sleep(0.01)
        measured[0] += 1

    monkeypatch.setattr(dataset, "pair", pair)
    evaluate(dataset, lambda index, lr: lr, measure)
    # Two that wait for the comparison, one that is compared, one that is upscaled, and those that are read.
    assert 2 <= most[0] <= 4 + readers


@pytest.mark.parametrize("cores", [2, 8, 64])
def test_as_many_images_are_read_at_the_same_time_as_half_of_the_cores(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """With fewer threads the barrier would not be passed; with more, another one would have come to it."""
    monkeypatch.setattr("harness.run.quality_pass.available_cores", lambda: cores)
    monkeypatch.setattr("harness.run.quality_pass._SMALL_SAMPLES", 0)
    readers = min(8, cores // 2)
    together, original, reading, most = threading.Barrier(readers), dataset.pair, [0], [0]
    lock = threading.Lock()

    def pair(index: int) -> tuple[np.ndarray, np.ndarray]:
        with lock:
            reading[0] += 1
            most[0] = max(most[0], reading[0])
        if 1 <= index <= readers:  # those that are read while the first is upscaled
            together.wait(100)
        time.sleep(0.01)
        with lock:
            reading[0] -= 1
        return original(index)

    monkeypatch.setattr(dataset, "pair", pair)
    assert len(evaluate(dataset, lambda index, lr: lr, lambda image: image.name)) == COUNT
    assert most[0] == readers


def test_nothing_is_read_any_more_when_a_step_has_failed(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.run.quality_pass.available_cores", lambda: 4)
    read: list[int] = []
    monkeypatch.setattr(dataset, "pair", lambda index, original=dataset.pair: read.append(index) or original(index))

    def fail(index: int, lr: np.ndarray) -> np.ndarray:
        raise ValueError("upscale")

    with pytest.raises(ValueError, match="upscale"):
        evaluate(dataset, fail, lambda image: image.name)
    assert set(read) <= {0, 1, 2}


@pytest.mark.parametrize("step", ["upscale", "measure", "keep"])
@pytest.mark.usefixtures("_many_cores")
def test_an_error_of_any_step_ends_all_of_them(dataset: Dataset, step: str) -> None:
    def failing(name: str, image: str) -> None:
        if name == step and image == "4":
            raise ValueError(name)

    def upscale(index: int, lr: np.ndarray) -> np.ndarray:
        failing("upscale", str(index))
        return lr

    before = threading.active_count()
    with pytest.raises(ValueError, match=step):
        evaluate(dataset, upscale, lambda i: failing("measure", i.name), lambda i: failing("keep", i.name))
    assert threading.active_count() == before
